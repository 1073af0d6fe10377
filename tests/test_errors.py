from __future__ import annotations

import inspect
import pickle
import re

import pytest

from servicex_layer import errors

CLASSES = [member for _, member in inspect.getmembers(errors, inspect.isclass)]


def tree_of_classes(root: type, indent: str = "") -> list[str]:
    """Draw the tree of a class as the module's docstring does."""
    children = [child for child in vars(errors).values() if inspect.isclass(child)]
    children = [child for child in children if child.__bases__[0] is root]
    lines = []
    for child in children:
        is_last = child is children[-1]
        others = ", ".join(base.__name__ for base in child.__bases__[1:])
        name = f"{child.__name__} ({others})" if others else child.__name__
        lines.append(f"{indent}{'└──' if is_last else '├──'} {name}")
        lines += tree_of_classes(child, indent + ("    " if is_last else "│   "))
    return lines


def test_the_docstring_draws_the_tree_of_exceptions_and_warnings():
    drawn = [line.strip() for line in (errors.__doc__ or "").splitlines()]
    tree = [
        "ServiceXLayerError",
        *tree_of_classes(errors.ServiceXLayerError),
        "",
        "ServiceXLayerWarning (UserWarning)",
        *tree_of_classes(errors.ServiceXLayerWarning),
    ]
    start = drawn.index("ServiceXLayerError")
    assert drawn[start : start + len(tree)] == [line.strip() for line in tree]


@pytest.mark.parametrize("error_class", CLASSES)
def test_each_has_one_of_two_base_classes_and_a_docstring(error_class):
    assert issubclass(error_class, errors.ServiceXLayerError | errors.ServiceXLayerWarning)
    assert re.fullmatch(r"\S.*\.", (error_class.__doc__ or "").strip().splitlines()[0])


@pytest.mark.parametrize("error_class", CLASSES)
def test_each_crosses_process_borders(error_class):
    error = pickle.loads(pickle.dumps(error_class("the message")))  # noqa: S301
    assert type(error) is error_class
    assert str(error) == "the message"
