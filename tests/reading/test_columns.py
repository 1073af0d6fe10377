from __future__ import annotations

import pytest

from servicex_layer.forms import as_form
from servicex_layer.reading import missing_column_error, select_columns

DOTTED = '{a: float64, "a.b": int32, c: var * {pt: float32, eta: ?{x: int8, y: int8}}, "c.d": bool}'


@pytest.mark.parametrize(
    ("columns", "selected"),
    [
        ({"a"}, "{a: float64}"),
        ({"a.b"}, '{"a.b": int32}'),
        ({"c.d"}, '{"c.d": bool}'),
        ({"c.eta.y", "a"}, "{a: float64, c: var * {eta: ?{y: int8}}}"),
        ({"c.eta", "c.pt"}, "{c: var * {pt: float32, eta: ?{x: int8, y: int8}}}"),
        (set(), "{}"),
        ({"nope", "a.nope", "c.nope"}, "{}"),
    ],
)
def test_selects_columns_and_fields(columns: set[str], selected: str):
    form = as_form(DOTTED)
    assert select_columns(form, frozenset(columns)).type == as_form(selected).type
    whole = select_columns(form, frozenset(columns), nested=False)
    assert all(whole.content(name) == form.content(name) for name in whole.fields)


def test_error_of_a_missing_column_lists_the_others():
    error = missing_column_error("z", "Result 'a'", ["x", "y"])
    assert str(error) == "The column 'z' is in the form but not in Result 'a', which has x, y."
