from __future__ import annotations

import pytest
from awkward.forms import ListOffsetForm, NumpyForm, RecordForm

from servicex_layer.forms import as_form
from servicex_layer.reading._columns import datashape_of, select_columns


def test_datashape_drops_what_is_for_people():
    list_of = ListOffsetForm("i64", NumpyForm("float32", parameters={"__doc__": "pT in GeV"}))
    assert datashape_of(RecordForm([list_of], ["pt"])) == "{pt: var * float32}"


def test_datashape_of_numbers_of_a_fixed_shape():
    form = RecordForm([NumpyForm("float32", inner_shape=(2, 3))], ["m"])
    assert datashape_of(form) == "{m: 2 * 3 * float32}"


DOTTED = '{a: float64, "a.b": int32, c: var * {pt: float32, eta: ?{x: int8, y: int8}}, "c.d": bool}'


@pytest.mark.parametrize(
    ("columns", "chosen"),
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
def test_select(columns: set[str], chosen: str):
    form = as_form(DOTTED)
    assert select_columns(form, frozenset(columns)).type == as_form(chosen).type
    whole = select_columns(form, frozenset(columns), nested=False)
    assert all(whole.content(name) == form.content(name) for name in whole.fields)
