"""Each type has one kind of buffers, however a file holds its values."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import pytest
from awkward.contents import (
    BitMaskedArray,
    ByteMaskedArray,
    IndexedArray,
    IndexedOptionArray,
    ListArray,
    ListOffsetArray,
    NumpyArray,
    RecordArray,
    RegularArray,
    UnmaskedArray,
)
from awkward.index import Index8, Index32, Index64, IndexU8

from servicex_layer.forms import as_form
from servicex_layer.reading import buffers_of, column_of_buffer, form_of_buffers

NUMBERS = NumpyArray(np.arange(6.0))
LAYOUTS: dict[str, Any] = {
    "offsets of 32 bits": ListOffsetArray(Index32(np.array([0, 2, 2, 6])), NUMBERS),
    "offsets from 1 on": ListOffsetArray(Index64(np.array([1, 2, 2, 5])), NUMBERS),
    "starts and stops": ListArray(Index64([3, 0, 0]), Index64([5, 0, 2]), NUMBERS),
    "regular lists": RegularArray(NUMBERS, 2),
    "a fixed shape": NumpyArray(np.arange(6.0).reshape(3, 2)),
    "a byte mask": ByteMaskedArray(Index8([1, 0, 1, 1, 1, 0]), NUMBERS, valid_when=True),
    "a bit mask": BitMaskedArray(IndexU8([0b101100]), NUMBERS, True, 6, lsb_order=True),
    "an index with nulls": IndexedOptionArray(Index64([2, -1, 0]), NUMBERS),
    "no nulls": UnmaskedArray(NUMBERS),
    "an index": IndexedArray(Index64([2, 2, 0]), NUMBERS),
    "categories": ak.str.to_categorical(["a", "b", "a"]).layout,
    "words": ak.Array(["a", "", "bc"]).layout,
    "lists of lists": ak.Array([[[1, 2], []], [], [[3]]]).layout,
}


@pytest.mark.parametrize("kind", LAYOUTS)
def test_buffers_make_the_same_array(kind: str):
    record = RecordArray([LAYOUTS[kind]], ["a"])
    form = form_of_buffers(record.form)
    buffers = buffers_of(record, form)
    expected = form.expected_from_buffers()
    assert {key: buffer.dtype for key, buffer in buffers.items()} == expected
    assert all(buffer.ndim == 1 for buffer in buffers.values())
    array = ak.from_buffers(form, record.length, buffers)
    assert str(array.type) == str(ak.Array(record).type)
    assert array.to_list() == ak.Array(record).to_list()


def test_forms_of_one_type_have_the_same_buffers():
    byte_mask, bit_mask, index, no_nulls = (
        [*form_of_buffers(RecordArray([LAYOUTS[kind]], ["a"]).form).expected_from_buffers()]
        for kind in ("a byte mask", "a bit mask", "an index with nulls", "no nulls")
    )
    assert byte_mask == bit_mask == index == no_nulls


def test_names_of_records_are_kept():
    named = ak.with_name(ak.zip({"x": [[1.0]]}), "Point").layout
    form = form_of_buffers(RecordArray([named], ["a"]).form)
    assert form.content("a").content.parameter("__record__") == "Point"


def test_the_first_column_within_a_list_has_its_lengths():
    form = form_of_buffers(as_form('{"a.b": int64, m: var * {x: {y: int64}, z: float64}}'))
    columns = {key: column_of_buffer(form, key) for key in form.expected_from_buffers()}
    assert [*columns.values()] == [
        ("a.b", "a.b"),
        ("m", "m.x.y"),
        ("m", "m.x.y"),
        ("m", "m.z"),
    ]
