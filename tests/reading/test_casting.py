from __future__ import annotations

import re
from typing import Any

import awkward as ak
import numpy as np
import pytest
from awkward.forms import NumpyForm, RecordForm
from hypothesis import given, settings
from hypothesis import strategies as st

from servicex_layer.errors import SchemaMismatchError
from servicex_layer.forms import as_form
from servicex_layer.reading._casting import cast_to_form

INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
PRIMITIVES = ["bool", *INTEGERS, "float32", "float64"]


def column(datashape: str) -> ak.forms.Form:
    return as_form(f"{{c: {datashape}}}").content("c")


def cast_column(array: ak.Array, datashape: str) -> ak.Array:
    return ak.Array(
        cast_to_form(array.layout, column(datashape), "c", "Result 'a.root' of request R")
    )


WIDENINGS = [
    (narrow, wide)
    for narrow in PRIMITIVES
    for wide in PRIMITIVES
    if np.can_cast(narrow, wide, "safe")
]


def numbers(primitive: str, most: int = 2**64) -> st.SearchStrategy[Any]:
    kind = np.dtype(primitive)
    if kind.kind == "b":
        return st.booleans()
    if kind.kind == "f":
        return st.floats(width=32 if kind.itemsize == 4 else 64, allow_nan=False)
    limits = np.iinfo(kind)
    return st.integers(max(int(limits.min), -most), min(int(limits.max), most))


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_lossless_casts_keep_every_value(data: st.DataObject):
    narrow, wide = data.draw(st.sampled_from(WIDENINGS))
    optional = data.draw(st.booleans())
    jagged = data.draw(st.booleans())
    # float64 holds each integer up to 2**53.
    most = 2**64 if np.dtype(wide).kind in "iub" else 2**53
    values = data.draw(st.lists(st.lists(numbers(narrow, most), max_size=3), max_size=4))
    array = ak.Array(
        ak.contents.ListOffsetArray(
            ak.index.Index64(np.cumsum([0, *map(len, values)])),
            ak.contents.NumpyArray(np.array([v for row in values for v in row], dtype=narrow)),
        )
    )
    datashape = f"?{wide}" if optional else wide
    if jagged:
        datashape, expected = f"var * {datashape}", array
    else:
        expected = ak.flatten(array)
    cast = cast_column(expected, datashape)
    assert cast.layout.form.type == column(datashape).type
    assert cast.to_list() == expected.to_list()


@pytest.mark.parametrize(
    ("array", "datashape"),
    [
        (ak.Array(["one", "", "three"]), "?string"),
        (ak.Array([["a"], [], ["b", "c"]]), "var * string"),
        (ak.Array([{"a": 1, "b": [1.5]}]), "{a: float64, b: var * ?float64}"),
        (ak.Array([1, None, 3]), "?float64"),
        (ak.to_regular(ak.Array([[1, 2], [3, 4]])), "var * int64"),
        (ak.to_regular(ak.Array([[1, 2], [3, 4]])), "2 * int64"),
        (ak.Array(np.array([[1, 2], [3, 4]], dtype=np.float32)), "2 * float64"),
        (ak.Array(np.array([[1, 2], [3, 4]], dtype=np.float32)), "2 * float32"),
        (ak.Array(np.array([[1, 2], [3, 4]], dtype=np.float32)), "var * ?float64"),
        (ak.Array([{"a": 1, "b": [1.5]}]), "{b: var * float64, a: int64}"),
        (ak.Array([{"a": 1, "b": [1.5]}]), "{b: var * float64, a: ?int64}"),
        (ak.Array([(1, 2.5)]), "(float64, float64)"),
        (ak.Array([[], []]), "var * {x: float64}"),
        (ak.Array([None, None]), "?float64"),
        (ak.str.to_categorical(ak.Array(["a", "b", "a"])), "string"),
        (ak.str.to_categorical(ak.Array(["a", "b", "a"])), "?string"),
        (ak.str.to_categorical(ak.Array(["a", None, "a"])), "?string"),
        (ak.Array(np.array(["2026-11-22"], dtype="M8[s]")), "datetime64[us]"),
    ],
)
def test_other_casts_that_keep_every_value(array: ak.Array, datashape: str):
    cast = cast_column(array, datashape)
    assert cast.to_list() == array.to_list()
    assert cast.layout.form.type == column(datashape).type


@pytest.mark.parametrize("dtype", ["int64", "uint64"])
def test_integer_that_float64_cannot_hold_is_an_error(dtype: str):
    array = ak.unflatten(np.array([2**53], dtype=dtype), [1, 0])
    assert cast_column(array, "var * float64").to_list() == [[2**53], []]
    for beyond in (2**53 + 1, 2**63 - 1):
        array = ak.unflatten(np.array([1, beyond], dtype=dtype), [1, 1])
        with pytest.raises(SchemaMismatchError, match=f"'c'.*{dtype}.*integers beyond.*float64"):
            cast_column(array, "var * float64")


@pytest.mark.parametrize(
    ("array", "datashape"),
    [
        (ak.Array(np.array([1], dtype=np.int64)), "int32"),
        (ak.Array(np.array([1], dtype=np.int64)), "float32"),
        (ak.Array(np.array([1], dtype=np.int32)), "uint64"),
        (ak.Array(np.array([1], dtype=np.uint64)), "int64"),
        (ak.Array([1.0]), "int64"),
        (ak.Array([1.0]), "float32"),
        (ak.Array([1.0]), "bool"),
        (ak.Array([[1.0]]), "float64"),
        (ak.Array([1.0]), "var * float64"),
        (ak.Array([[1.0]]), "var * float32"),
        (ak.Array([[1.0]]), "1 * float64"),
        (ak.Array(["one"]), "var * uint8"),
        (ak.Array([[1, 2]]), "string"),
        (ak.Array([1, None]), "int64"),
        (ak.Array([{"a": 1}]), "{b: int64}"),
        (ak.Array([{"a": 1, "b": 2}]), "{a: int64}"),
    ],
)
def test_lossy_casts_are_errors_with_the_file_column_and_types(array: ak.Array, datashape: str):
    with pytest.raises(SchemaMismatchError) as caught:
        cast_column(array, datashape)
    message = str(caught.value)
    words = ("request R", "a.root", "'c'", str(column(datashape).type), str(array.layout.form.type))
    assert all(word in message for word in words)
    # The code in the message is right.
    line = re.search(r"Use (form=.*)\.$", message)
    assert line is not None
    form = eval(f"dict({line[1]})")["form"]  # noqa: S307
    assert cast_column(array, str(as_form(form).content("c").type)).to_list() == array.to_list()


def test_fixed_shapes_may_be_lists():
    shaped, lists = ak.forms.NumpyForm("float64", inner_shape=(2,)), column("2 * float64")
    array = ak.Array(np.array([[1, 2], [3, 4]], dtype=np.float32))
    for stored in (array, ak.to_regular(ak.Array(array.to_list()))):
        for form in (shaped, lists):
            cast = ak.Array(cast_to_form(stored.layout, form, "c", "a.root"))
            assert str(cast.type) == "2 * 2 * float64"
            assert cast.to_list() == array.to_list()


def test_corrected_form_has_all_columns():
    whole = as_form("{met: float32, jets: var * {pt: float32, eta: float32}, n: int64}")
    array = ak.Array([[{"pt": 1.5}]])
    form = as_form("{jets: var * {pt: float32}}").content("jets")
    with pytest.raises(SchemaMismatchError) as caught:
        cast_to_form(array.layout, form, "jets", "a.root", whole)
    assert str(caught.value).endswith(
        "Use form='{met: float32, jets: var * {pt: float64, eta: float32}, n: int64}'."
    )


def test_corrected_part_of_a_long_form():
    names = [f"a_rather_long_name_of_column_{number}" for number in range(100)]
    whole = RecordForm([NumpyForm("float32")] * 100, names)
    with pytest.raises(SchemaMismatchError) as caught:
        cast_to_form(ak.Array([1.5]).layout, NumpyForm("float32"), names[7], "a.root", whole)
    assert str(caught.value).endswith(f"In the form, use '{names[7]}: float64'.")
