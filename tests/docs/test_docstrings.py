"""What is public is documented as numpydoc wants it."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from numpydoc.validate import validate

MODULES = ["", ".errors", ".forms", ".local", ".local.pytest_plugin", ".report"]

LEFT_OUT = {
    "ES01": "a summary may say it all",
    "EX01": "examples are where they help",
    "PR04": "types are in the annotations, which mypy checks",
    "SA01": "references are where they help",
    "SA03": "a description in See Also is no sentence",
}
# Of methods a line may tell parameters and what is returned.
LEFT_OUT_OF_METHODS = {*LEFT_OUT, "PR01", "PR02", "RT01", "YD01"}


def public_names() -> Iterator[tuple[str, bool]]:
    for suffix in MODULES:
        module = importlib.import_module(f"servicex_layer{suffix}")
        for name in getattr(module, "__all__", None) or classes_of(module):
            thing = getattr(module, name)
            if inspect.ismodule(thing) or isinstance(thing, str):
                continue
            where = f"{thing.__module__}.{thing.__qualname__}"
            yield where, False
            if inspect.isclass(thing):
                for member, value in vars(thing).items():
                    if not member.startswith("_") and documented(value):
                        yield f"{where}.{member}", True


def classes_of(module: Any) -> list[str]:
    found = vars(module).items()
    return [name for name, thing in found if getattr(thing, "__module__", "") == module.__name__]


def documented(value: object) -> bool:
    return inspect.isfunction(value) or isinstance(value, property | classmethod | staticmethod)


@pytest.mark.parametrize(
    ("name", "is_method"), [pytest.param(*case, id=case[0]) for case in sorted({*public_names()})]
)
def test_docstring(name: str, is_method: bool):
    left_out = LEFT_OUT_OF_METHODS if is_method else LEFT_OUT
    found = [(code, text) for code, text in validate(name)["errors"] if code not in left_out]
    # A fixture is called by pytest, with what no user gives.
    if name.endswith("local_servicex"):
        found = [(code, text) for code, text in found if code != "PR01"]
    assert not found
