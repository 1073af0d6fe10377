"""Columns that were not read stand beside those that were."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import pytest

from servicex_layer.forms import as_form
from servicex_layer.reading import LateBuffers, buffers_of, fill_unread, form_of_buffers
from servicex_layer.reading._placeholders import lists_of_lengths

TYPES = [
    "float64",
    "var * float64",
    "var * {x: float64, y: int32}",
    "var * var * int64",
    "3 * var * int64",
    "string",
    "var * string",
    "?float64",
    "var * ?int64",
    "3 * float64",
    "2 * 3 * float64",
    "?{x: float64, y: ?int32}",
    "var * ?{x: float64, y: ?int32}",
    "(int64, bool)",
    "var * 3 * int32",
    "var * {x: var * {z: int64}}",
    "union[int64, string]",
    "var * union[int64, {x: float64}]",
    "categorical[type=string]",
]


def values_of(form: Any) -> Any:
    """Return 40 values of a form, with empty lists, nulls and repeated values among them."""
    chance = np.random.default_rng(3)
    return ak.Array(_some(form, 40, chance))


def _some(form: Any, length: int, chance: Any) -> Any:
    if form.is_record:
        contents = [_some(content, length, chance) for content in form.contents]
        fields = None if form.is_tuple else form.fields
        return ak.contents.RecordArray(contents, fields, length=length)
    if form.is_union:
        tags = chance.integers(0, len(form.contents), length).astype(np.int8)
        index = np.zeros(length, np.int64)
        for tag in range(len(form.contents)):
            index[tags == tag] = np.arange((tags == tag).sum())
        contents = [
            _some(content, int((tags == tag).sum()), chance)
            for tag, content in enumerate(form.contents)
        ]
        return ak.contents.UnionArray(ak.index.Index8(tags), ak.index.Index64(index), contents)
    if form.is_regular:
        items = _some(form.content, length * form.size, chance)
        return ak.contents.RegularArray(items, form.size, length, parameters=form.parameters)
    if form.is_list:
        offsets = np.concatenate([[0], np.cumsum(chance.integers(0, 4, length))])
        items = _some(form.content, int(offsets[-1]), chance)
        index = ak.index.Index64(offsets)
        return ak.contents.ListOffsetArray(index, items, parameters=form.parameters)
    if form.is_indexed:
        least = -1 if form.is_option else 0
        index = ak.index.Index64(chance.integers(least, 5, length))
        kind = ak.contents.IndexedOptionArray if form.is_option else ak.contents.IndexedArray
        return kind(index, _some(form.content, 5, chance), parameters=form.parameters)
    numbers = chance.integers(65, 91, (length, *form.inner_shape)).astype(form.primitive)
    return ak.contents.NumpyArray(numbers, parameters=form.parameters)


@pytest.fixture(params=TYPES)
def expected(request: pytest.FixtureRequest) -> Any:
    return values_of(as_form(f"{{a: {request.param}, b: int64}}"))


def late_array(expected: Any, read: Any, offsets_only: frozenset[str] = frozenset()) -> Any:
    """Return what was read of the values, with the rest unread."""
    form = form_of_buffers(expected.layout.form)
    reads: list[str] = []

    def load(key: str) -> dict[str, Any]:
        reads.append(key)
        return buffers_of(expected.layout, form)

    array = ak.Array(fill_unread(read.layout, form, LateBuffers(load), offsets_only))
    assert reads == []
    assert str(array.type) == str(expected.type)
    return array


def test_unread_columns_of_every_type(expected: Any):
    array = late_array(expected, expected[["b"]])
    assert array.to_list() == expected.to_list()
    assert late_array(expected, expected[["b"]])[3:].to_list() == expected[3:].to_list()
    chosen = np.array([7, 3, 3, 20])
    assert late_array(expected, expected[["b"]])[chosen].to_list() == expected[chosen].to_list()


def test_unread_fields_at_every_depth():
    form = as_form("{a: var * {x: float64, y: {p: int8, q: int64}}, b: string, c: (int64, bool)}")
    expected = values_of(form)
    read = ak.with_field(expected[["c"]], ak.zip({"y": ak.zip({"q": expected.a.y.q})}), "a")
    array = late_array(expected, read)
    assert array.fields == ["a", "b", "c"]
    assert array.a.fields == ["x", "y"]
    assert array.to_list() == expected.to_list()


def test_fields_within_a_part_of_longer_lists():
    """A reader may return lists that are a part of what they are made of."""
    expected = values_of(as_form("{a: var * {x: float64, y: int64}}"))[10:30]
    read = ak.zip({"a": expected.a[["x"]]}, depth_limit=1)
    assert read.layout.content("a").offsets[0] != 0
    assert late_array(expected, read).a.y.to_list() == expected.a.y.to_list()


def test_items_of_lists_of_which_the_lengths_were_read():
    expected = values_of(as_form("{a: var * {x: float64, s: string}, b: var * int64}"))
    form = expected.layout.form
    lengths = lists_of_lengths(ak.to_numpy(ak.num(expected.a)), form.content("a").content)
    read = ak.Array(ak.contents.RecordArray([lengths], ["a"]))
    array = late_array(expected, read, frozenset({"a"}))
    assert ak.num(array.a).to_list() == ak.num(expected.a).to_list()
    assert array.a[2:].s.to_list() == expected.a[2:].s.to_list()
    assert array.to_list() == expected.to_list()


def test_lists_that_were_read_whole_keep_their_items():
    expected = values_of(as_form("{a: var * int64, b: int64}"))
    array = late_array(expected, expected[["a"]], frozenset({"a"}))
    assert array.layout.content("a").content is not None
    assert np.shares_memory(
        np.asarray(array.layout.content("a").content.data),
        np.asarray(expected.layout.content("a").content.data),
    )
