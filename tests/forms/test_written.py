from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import pytest
from awkward.forms import NumpyForm, RecordForm
from hypothesis import given, settings
from hypothesis import strategies as st

from servicex_layer.errors import FormError
from servicex_layer.forms import as_form, datashape_of

INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
LEAVES = ["bool", *INTEGERS, "float32", "float64", "complex128", "string", "bytes"]
LEAVES += ["datetime64[us]", "timedelta64[ns]", "categorical[type=string]"]
ODD_NAMES = ["µ", "a b", "1", "x.y", 'a"b', "", "if", "var", "string", "n\\t"]
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True) | st.sampled_from(ODD_NAMES)


def quoted(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def records(types: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    fields = st.dictionaries(NAMES, types, min_size=1, max_size=4)
    return fields.map(
        lambda given: (
            "{" + ", ".join(f"{quoted(name)}: {kind}" for name, kind in given.items()) + "}"
        )
    )


TYPES = st.recursive(
    st.sampled_from(LEAVES),
    lambda types: (
        types.map("var * {}".format)
        | types.map("3 * {}".format)
        | types.map("option[{}]".format)
        | types.map("({}, int32)".format)
        | records(types)
    ),
    max_leaves=4,
)


@settings(max_examples=100, deadline=None)
@given(records(TYPES))
def test_datashape_and_form_are_the_same(datashape: str):
    form = as_form(datashape)
    assert as_form(datashape_of(form)) == form
    assert as_form(form) is form
    assert form.type == ak.types.from_datashape(datashape, highlevel=False)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(NAMES, TYPES, min_size=1, max_size=4))
def test_dictionary_of_columns(columns: dict[str, str]):
    form = as_form(columns)
    assert form.fields == list(columns)
    for name, datashape in columns.items():
        kind = ak.types.from_datashape(datashape, highlevel=False)
        assert form.content(name).type == kind
        assert as_form({name: kind}).content(name).type == kind
        assert as_form({name: form.content(name)}).content(name) is form.content(name)


@pytest.mark.parametrize(
    ("dtype", "datashape"),
    [
        (np.float32, "float32"),
        (np.dtype(">i4"), "int32"),
        (np.dtype(("f4", (2, 3))), "2 * 3 * float32"),
        (bool, "bool"),
        (float, "float64"),
        (np.dtype("M8[us]"), "datetime64[us]"),
    ],
)
def test_dtype_of_a_column(dtype: Any, datashape: str):
    assert str(as_form({"x": dtype}).type) == f"{{x: {datashape}}}"


def test_datashape_may_have_a_length():
    plain = as_form("{x: var * float64}")
    for length in ("50000", "var"):
        assert as_form(f"{length} * {{x: var * float64}}") == plain


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ("{x: float", "no datashape"),
        ("{x: quux}", "no datashape"),
        ("", "no datashape"),
        ("var * float64", "not one of records"),
        ("(int64, float64)", "not one of records"),
        ("float32", "not one of records"),
        (5, "neither an awkward form nor .* but a int"),
        (["x"], "neither an awkward form nor .* but a list"),
        (NumpyForm("float64"), "not one of records"),
        (RecordForm([NumpyForm("float64")], None), "not one of records"),
        ({"x": "quux"}, "'quux' of the column 'x' is no datashape"),
        ({"x": None}, "column 'x' is None, which is neither"),
        ({"x": np.dtype("O")}, "column 'x' is dtype.*, which is neither"),
        ({"x": 5}, "column 'x' is 5, which is neither"),
        ({1: "float64"}, "name must be a text"),
    ],
)
def test_no_form(form: Any, words: str):
    with pytest.raises(FormError, match=words):
        as_form(form)
