"""Buffers that are read when they are touched; they rest on private names of awkward."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import awkward as ak
import cloudpickle
import numpy as np
import pytest
from awkward.forms import ListOffsetForm, NumpyForm, RecordForm

from servicex_layer.reading import LateBuffer, LateBuffers, unread_array

VALUES = np.arange(6.0)
FORM = RecordForm(
    [
        NumpyForm("float64", form_key="x"),
        NumpyForm("float64", inner_shape=(2,), form_key="pair"),
        ListOffsetForm("i64", NumpyForm("float64", form_key="items"), form_key="lists"),
    ],
    ["x", "pair", "lists"],
    form_key="record",
)
BUFFERS = {
    "x-data": VALUES,
    "pair-data": np.arange(12.0),
    "lists-offsets": np.array([0, 2, 2, 3, 3, 3, 6]),
    "items-data": VALUES,
}
EXPECTED = ak.from_buffers(FORM, 6, BUFFERS)

reads: list[str] = []


def load(key: str) -> dict[str, Any]:
    reads.append(key)
    return {key: BUFFERS[key]}


@pytest.fixture
def array() -> Any:
    reads.clear()
    late = LateBuffers(load)
    container = {key: LateBuffer(late, key) for key in BUFFERS}
    return ak.Array(unread_array(FORM, 6, container))


def test_a_buffer_is_read_when_it_is_touched_and_once(array: Any):
    assert str(array.type) == str(EXPECTED.type)
    assert len(array) == 6
    assert reads == []
    assert array.x.to_list() == array.x[:].to_list() == VALUES.tolist()
    assert reads == ["x-data"]
    assert array.to_list() == EXPECTED.to_list()
    assert sorted(reads) == sorted(BUFFERS)


@pytest.mark.parametrize(
    "untouching",
    [
        lambda array: array[2:4],
        lambda array: array[np.array([True, False] * 3)],
        lambda array: array[["lists", "pair"]],
        lambda array: ak.with_field(array, np.arange(6), "n"),
        lambda array: ak.zip({"a": array.x, "b": array.x}),
        lambda array: ak.count(array.x),
        lambda array: ak.num(array, axis=0),
        lambda array: ak.ones_like(array.x),
        lambda array: array.nbytes,
        lambda array: str(array.type),
        copy.copy,
        copy.deepcopy,
    ],
)
def test_what_needs_no_values_reads_none(array: Any, untouching: Any):
    untouching(array)
    assert reads == []


def test_an_unread_buffer_takes_no_memory(array: Any):
    assert array.nbytes == 0
    array.x.to_list()
    assert array.nbytes == VALUES.nbytes


def test_parts_and_copies_have_the_same_values(array: Any):
    assert array[1:5][1:3].to_list() == EXPECTED[2:4].to_list()
    assert copy.deepcopy(array).to_list() == EXPECTED.to_list()
    assert array[[4, 0]].to_list() == EXPECTED[[4, 0]].to_list()
    assert ak.concatenate([array, array]).to_list() == 2 * EXPECTED.to_list()


def test_a_copy_does_not_share_its_values(array: Any):
    copied = copy.deepcopy(array)
    np.asarray(copied.x)[:] = 9
    assert array.x.to_list() == VALUES.tolist()


def test_threads_read_a_buffer_once(array: Any):
    threads = 8
    together = Barrier(threads)

    def touch(_: int) -> tuple[Any, Any]:
        together.wait()
        return ak.sum(array.x), ak.sum(array.lists, axis=None)

    with ThreadPoolExecutor(threads) as pool:
        sums = set(pool.map(touch, range(threads)))
    assert sums == {(15.0, 15.0)}
    assert sorted(reads) == sorted({"x-data", "lists-offsets", "items-data"})


def test_a_buffer_of_another_length_or_type_is_an_error():
    for values in (VALUES[:5], VALUES.astype(np.float32)):
        late = LateBuffer(LateBuffers({"x-data": {"x-data": values}}.__getitem__), "x-data")
        array = ak.Array(unread_array(FORM.content("x"), 6, {"x-data": late}))
        with pytest.raises(ValueError, match="should have 6 of float64"):
            array.to_list()


def test_a_failed_read_is_tried_again():
    answers: list[Any] = [OSError("not now"), {"x-data": VALUES}]

    def load_at_last(key: str) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    late = LateBuffer(LateBuffers(load_at_last), "x-data")
    array = ak.Array(unread_array(FORM.content("x"), 6, {"x-data": late}))
    with pytest.raises(OSError, match="not now"):
        ak.sum(array)
    assert ak.sum(array) == 15


def test_buffers_that_were_loaded_can_be_forgotten(array: Any):
    late = LateBuffers(load)
    assert late["x-data"] is late["x-data"]
    assert "x-data" in late
    late.clear()
    assert "x-data" not in late
    assert reads == ["x-data"]


def test_awkward_derives_virtual_arrays_with_lambdas_that_can_be_pickled(array: Any):
    """The names within awkward by which these are known."""
    joined = ak.concatenate([array.x, array.x])
    assert reads == []
    assert joined.layout.data._generator.__qualname__.endswith("<lambda>")
    index = array.lists[1:].layout.offsets.data
    name = "ArrayModuleNumpyLike.ascontiguousarray.<locals>.<lambda>"
    assert index._generator.__qualname__ == name
    assert cloudpickle.loads(cloudpickle.dumps(joined)).to_list() == [*VALUES, *VALUES]
    assert pickle.loads(pickle.dumps(joined)).to_list() == [*VALUES, *VALUES]  # noqa: S301
