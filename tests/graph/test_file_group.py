"""Reading several files at the same time, and joining their columns."""

from __future__ import annotations

import threading
from typing import Any

import awkward as ak
import numpy as np
import pytest
from awkward.contents import RecordArray
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import anything, in_ttree  # type: ignore[import-not-found]

from servicex_layer.graph._file_group import join_columns, read_at_once


def test_results_are_read_at_the_same_time_and_come_in_order():
    together = threading.Barrier(4, timeout=30)

    def read(source: Any) -> Any:
        together.wait()
        return source

    sources: Any = range(8)
    assert list(read_at_once(read, sources)) == list(range(8))


def test_one_result_is_read_in_the_calling_thread():
    sources: Any = [0]
    threads = list(read_at_once(lambda _: threading.current_thread(), sources))
    assert threads == [threading.current_thread()]
    assert list(read_at_once(lambda _: None, [])) == []


def test_an_error_is_raised_and_ends_the_others():
    begun = []

    def read(source: Any) -> None:
        begun.append(source)
        raise LookupError(source)

    sources: Any = range(1000)
    with pytest.raises(LookupError, match=r"^0$"):
        list(read_at_once(read, sources))
    assert len(begun) < 1000


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_columns_of_every_type_are_joined(data: st.DataObject):
    length = 7
    values = data.draw(in_ttree(length) | anything(length, null=True))
    whole = RecordArray([ak.to_layout(values)], ["column"])
    ends = sorted(data.draw(st.lists(st.integers(0, length), max_size=4)))
    parts = [whole[start:stop] for start, stop in zip([0, *ends], [*ends, length], strict=True)]
    joined = join_columns(parts, whole.form)
    assert ak.type(joined) == ak.type(whole)
    assert ak.array_equal(joined, whole, equal_nan=True, same_content_types=False)


def test_only_the_lengths_of_offsets_only_columns_are_joined():
    lists = ak.Array({"v": [[1.0, 2.0], [], [3.0]], "x": np.arange(3)})
    layout: Any = ak.to_layout(lists)
    joined = join_columns([layout, layout[1:]], layout.form, frozenset({"v"}))
    assert ak.num(joined["v"], highlevel=True).tolist() == [2, 0, 1, 0, 1]
    assert ak.to_list(joined["x"]) == [0, 1, 2, 1, 2]
    with pytest.raises(RuntimeError, match="placeholder"):
        ak.to_list(joined["v"])
