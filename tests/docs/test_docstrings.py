"""Public docstrings follow numpydoc."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from numpydoc.validate import validate

MODULES = ["", ".errors", ".forms", ".local", ".local.pytest_plugin", ".report"]

LEFT_OUT = {
    "ES01": "a summary can be enough",
    "EX01": "not every name needs an example",
    "PR04": "annotations have the types, and mypy checks them",
    "SA01": "not every name needs references",
    "SA03": "descriptions in See Also aren't sentences",
}
# One line can document a method's parameters and return value.
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
    # pytest calls fixtures, and passes their parameters.
    if name.endswith("local_servicex"):
        found = [(code, text) for code, text in found if code != "PR01"]
    assert not found
