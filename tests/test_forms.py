from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import pytest
from awkward.forms import ListOffsetForm, NumpyForm, RecordForm
from hypothesis import given, settings
from hypothesis import strategies as st

from servicex_layer.errors import FormError, SchemaMismatchError
from servicex_layer.forms import as_form, conform, datashape_of, select

INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
PRIMITIVES = ["bool", *INTEGERS, "float32", "float64"]
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)


def records(types: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    fields = st.dictionaries(NAMES, types, min_size=1, max_size=4)
    return fields.map(
        lambda given: "{" + ", ".join(f'"{name}": {kind}' for name, kind in given.items()) + "}"
    )


DATASHAPES = records(
    st.recursive(
        st.sampled_from([*PRIMITIVES, "string"]),
        lambda types: types.map("var * {}".format) | types.map("3 * {}".format) | records(types),
        max_leaves=4,
    )
)


@settings(max_examples=50, deadline=None)
@given(DATASHAPES)
def test_datashape_and_form_are_the_same(datashape: str):
    form = as_form(datashape)
    assert as_form(datashape_of(form)) == form
    assert as_form(form) is form
    assert form.type == ak.types.from_datashape(datashape, highlevel=False)


def test_datashape_may_have_a_length():
    plain = as_form("{x: var * float64}")
    for length in ("50000", "var"):
        assert as_form(f"{length} * {{x: var * float64}}") == plain


def test_datashape_drops_what_is_for_people():
    list_of = ListOffsetForm("i64", NumpyForm("float32", parameters={"__doc__": "pT in GeV"}))
    assert datashape_of(RecordForm([list_of], ["pt"])) == "{pt: var * float32}"


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ("{x: float", "no datashape"),
        ("{x: quux}", "no datashape"),
        ("", "no datashape"),
        ("var * float64", "not one of records"),
        ("(int64, float64)", "not one of records"),
        ("float32", "not one of records"),
        (5, "neither an awkward form nor a datashape, but a int"),
        ({"x": "float64"}, "neither an awkward form nor a datashape, but a dict"),
        (NumpyForm("float64"), "not one of records"),
        (RecordForm([NumpyForm("float64")], None), "not one of records"),
    ],
)
def test_no_form(form: Any, words: str):
    with pytest.raises(FormError, match=words):
        as_form(form)


def column(datashape: str) -> ak.forms.Form:
    return as_form(f"{{c: {datashape}}}").content("c")


def conformed(array: ak.Array, datashape: str) -> ak.Array:
    return ak.Array(conform(array.layout, column(datashape), "c", "a.root"))


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
    wanted = f"?{wide}" if optional else wide
    if jagged:
        wanted, expected = f"var * {wanted}", array
    else:
        expected = ak.flatten(array)
    cast = conformed(expected, wanted)
    assert cast.layout.form.type == column(wanted).type
    assert cast.to_list() == expected.to_list()


@pytest.mark.parametrize(
    ("array", "wanted"),
    [
        (ak.Array(["one", "", "three"]), "?string"),
        (ak.Array([["a"], [], ["b", "c"]]), "var * string"),
        (ak.Array([{"a": 1, "b": [1.5]}]), "{a: float64, b: var * ?float64}"),
        (ak.Array([1, None, 3]), "?float64"),
        (ak.to_regular(ak.Array([[1, 2], [3, 4]])), "var * int64"),
        (ak.to_regular(ak.Array([[1, 2], [3, 4]])), "2 * int64"),
    ],
)
def test_other_lossless_casts(array: ak.Array, wanted: str):
    cast = conformed(array, wanted)
    assert cast.to_list() == array.to_list()
    assert cast.layout.form.type == column(wanted).type


@pytest.mark.parametrize("dtype", ["int64", "uint64"])
def test_integer_that_float64_does_not_hold(dtype: str):
    array = ak.unflatten(np.array([2**53], dtype=dtype), [1, 0])
    assert conformed(array, "var * float64").to_list() == [[2**53], []]
    for beyond in (2**53 + 1, 2**63 - 1):
        array = ak.unflatten(np.array([1, beyond], dtype=dtype), [1, 1])
        with pytest.raises(SchemaMismatchError, match=f"'c'.*{dtype}.*integers beyond.*float64"):
            conformed(array, "var * float64")


@pytest.mark.parametrize(
    ("array", "wanted"),
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
def test_lossy_casts_are_errors_that_name_file_column_and_both_types(array: ak.Array, wanted: str):
    with pytest.raises(SchemaMismatchError) as caught:
        conformed(array, wanted)
    message = str(caught.value)
    assert all(word in message for word in ("a.root", "'c'", str(column(wanted).type)))
    assert str(array.layout.form.type) in message


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
    assert select(form, frozenset(columns)).type == as_form(chosen).type
    whole = select(form, frozenset(columns), nested=False)
    assert all(whole.content(name) == form.content(name) for name in whole.fields)
