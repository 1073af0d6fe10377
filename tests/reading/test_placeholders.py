"""Placeholders for what was not read; they rest on private names of awkward."""

from __future__ import annotations

import pickle

import awkward as ak
import numpy as np
import pytest
from awkward.typetracer import PlaceholderArray

from servicex_layer.forms import as_form
from servicex_layer.reading import fill_unread, placeholder
from servicex_layer.reading._placeholders import lists_of_lengths


def test_placeholder_has_a_type_and_no_values():
    buffer = placeholder(np.dtype("float32"))
    assert isinstance(buffer, PlaceholderArray)
    assert buffer.dtype == np.float32
    form = ak.forms.NumpyForm("float32", form_key="x")
    array = ak.from_buffers(form, 3, {"x-data": buffer})
    assert str(array.type) == "3 * float32"
    with pytest.raises(RuntimeError, match="placeholder"):
        ak.sum(array)


def test_lists_of_lengths_have_no_items():
    form = as_form("{c: {pt: float64, s: string}}").content("c")
    lists = ak.Array(lists_of_lengths(np.array([2, 0, 1]), form))
    assert str(lists.type) == "3 * var * {pt: float64, s: string}"
    assert ak.num(lists).to_list() == [2, 0, 1]
    with pytest.raises(RuntimeError, match="placeholder"):
        ak.sum(lists.pt)


def test_unread_fields_are_filled_at_every_depth():
    form = as_form("{a: var * {x: float64, y: {p: int8, q: int64}}, b: string, c: (int64, bool)}")
    read = ak.Array({"a": [[{"y": {"q": 1}}], []], "c": [(1, True), (2, False)]})
    filled = ak.Array(fill_unread(read.layout, form))
    assert filled.fields == ["a", "b", "c"]
    assert filled.a.fields == ["x", "y"]
    assert filled.a.y.fields == ["p", "q"]
    assert filled.a.y.q.to_list() == [[1], []]
    assert filled.c.to_list() == [(1, True), (2, False)]
    with pytest.raises(RuntimeError, match="placeholder"):
        filled.a.x.to_list()


def test_array_with_placeholders_can_be_pickled_without_them():
    """Dask sends arrays between workers."""
    form = as_form("{x: float64, y: float64}")
    filled = ak.Array(fill_unread(ak.Array({"x": [1.5]}).layout, form))
    assert pickle.loads(pickle.dumps(filled.x)).to_list() == [1.5]  # noqa: S301
