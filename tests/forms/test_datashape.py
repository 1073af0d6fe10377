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
        lambda fields: (
            "{"
            + ", ".join(f"{quoted(name)}: {column_type}" for name, column_type in fields.items())
            + "}"
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
def test_datashape_and_form_are_equivalent(datashape: str):
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
        column_type = ak.types.from_datashape(datashape, highlevel=False)
        assert form.content(name).type == column_type
        assert as_form({name: column_type}).content(name).type == column_type
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
        ("{x: float", "not a valid datashape"),
        ("{x: quux}", "not a valid datashape"),
        ("", "not a valid datashape"),
        ("var * float64", "must be a record"),
        ("(int64, float64)", "must be a record"),
        ("float32", "must be a record"),
        (5, "must be an awkward form, .* not of type int"),
        (["x"], "must be an awkward form, .* not of type list"),
        (NumpyForm("float64"), "must be a record"),
        (RecordForm([NumpyForm("float64")], None), "must be a record"),
        ({"x": "quux"}, "'quux' of the column 'x' is not a valid datashape"),
        ({"x": None}, "column 'x' must be a datashape .* not None"),
        ({"x": np.dtype("O")}, "column 'x' must be a datashape .* not dtype"),
        ({"x": 5}, "column 'x' must be a datashape .* not 5"),
        ({1: "float64"}, "must be a string, not 1"),
    ],
)
def test_anything_else_is_an_error(form: Any, words: str):
    with pytest.raises(FormError, match=words):
        as_form(form)
