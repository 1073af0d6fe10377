"""Arrays with unread columns are pickled unread; this rests on private names of awkward."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from typing import Any

import awkward as ak
import awkward._pickle
import cloudpickle
import numpy as np
import pytest
from awkward.forms import RecordForm

from servicex_layer.forms import as_form
from servicex_layer.reading import (
    LateBuffers,
    buffers_of,
    fill_unread,
    form_of_buffers,
    pickle_unread_columns,
)

EXPECTED = ak.Array(
    {
        "b": np.arange(4),
        "x": np.arange(4.0),
        "v": [[1.5], [], [2.5, 3.5], []],
        "vv": [[[1, 2], [3]], [], [[]], [[4]]],
        "s": ["a", "", "bb", "c"],
        "o": [1, None, 3, None],
        "m": [[{"pt": 1.0, "q": 1}], [], [{"pt": 2.0, "q": -1}, {"pt": 3.0, "q": 1}], []],
        "p": np.arange(8).reshape(4, 2),
    }
)
FORM: RecordForm = form_of_buffers(
    as_form(
        "{b: int64, x: float64, v: var * float64, vv: var * var * int64, s: string, o: ?int64, "
        "m: var * {pt: float64, q: int64}, p: 2 * int64}"
    )
)

reads: list[str] = []


def load(key: str) -> dict[str, Any]:
    reads.append(key)
    return buffers_of(EXPECTED.layout, FORM)


def read_and_fail(key: str) -> dict[str, Any]:
    raise AssertionError(f"{key} was read")


@pytest.fixture
def array() -> Any:
    reads.clear()
    layout = EXPECTED[["b"]].layout
    behavior = {("*", "Event"): ak.Array}
    return ak.Array(fill_unread(layout, FORM, LateBuffers(load)), behavior=behavior)


def pickled(value: Any, protocol: int = 5) -> Any:
    """Send a value as Dask does."""
    buffers: list[Any] = []
    callback = buffers.append if protocol == 5 else None
    sent = cloudpickle.dumps(value, protocol, buffer_callback=callback)
    return pickle.loads(sent, buffers=buffers)  # noqa: S301


@pytest.mark.parametrize("protocol", [4, 5])
def test_a_selection_is_pickled_after_all_its_columns_were_read(array: Any, protocol: int):
    selected = array[np.array([True, False, True, False])]
    assert selected.to_list() == EXPECTED[[0, 2]].to_list()
    assert pickled(selected, protocol).to_list() == EXPECTED[[0, 2]].to_list()


@pytest.mark.parametrize("protocol", [4, 5])
def test_unread_columns_are_pickled_unread_and_read_later(array: Any, protocol: int):
    received = pickled(pickled(array, protocol), protocol)
    assert reads == []
    assert received.b.to_list() == [0, 1, 2, 3]
    assert received.behavior == array.behavior
    assert reads == []
    assert received.to_list() == EXPECTED.to_list()
    assert str(received.type) == str(array.type)


@pytest.mark.parametrize(
    ("part", "reads_lengths"),
    [
        (lambda array: array[1:], False),
        (lambda array: array[1:][1:], False),
        (lambda array: array[array.b % 2 == 0], False),
        (lambda array: array[["x", "v", "m"]], False),
        (lambda array: array.x, False),
        (lambda array: array.vv, False),
        (lambda array: ak.concatenate([array[["b", "x"]], array[["b", "x"]]])[1:], False),
        (lambda array: ak.with_field(array, array.b + 1, "c"), False),
        # awkward needs the lengths of lists for fields of records in them, and to join arrays.
        (lambda array: array.m.pt, True),
        (lambda array: ak.concatenate([array, array]), True),
    ],
)
def test_parts_are_pickled_unread(array: Any, part: Any, reads_lengths: bool):
    received = pickled(pickled(part(array)))
    assert bool(reads) is reads_lengths
    assert received.to_list() == part(EXPECTED).to_list()


def test_a_record_is_pickled_unread(array: Any):
    received = pickled(array[2])
    assert reads == []
    assert received.behavior == array.behavior
    assert received.to_list() == EXPECTED[2].to_list()


def test_columns_that_were_read_are_pickled_with_their_values(array: Any):
    layout = EXPECTED[["b"]].layout
    array = ak.Array(fill_unread(layout, FORM, LateBuffers(load)))
    assert ak.sum(array.x) == 6
    reads.clear()
    assert pickled(array[["b", "x"]]).x.to_list() == [0, 1, 2, 3]
    assert reads == []


def test_attributes_are_pickled_unless_they_are_transient(array: Any):
    array.attrs["kept"] = 1
    array.attrs["@transient"] = 2
    assert dict(pickled(array).attrs) == {"kept": 1}


def test_other_arrays_are_pickled_as_before(array: Any):
    plain = ak.Array([[1, 2], []])
    assert b"servicex_layer" not in pickle.dumps(plain)
    assert pickled(plain).to_list() == [[1, 2], []]
    callbacks = {"x-data": lambda: np.arange(3.0)}
    virtual = ak.from_buffers(ak.forms.NumpyForm("float64", form_key="x"), 3, callbacks)
    assert pickled(virtual).to_list() == [0, 1, 2]


def test_the_reducer_is_wrapped_once():
    pickle_unread_columns()
    reducer = awkward._pickle.get_custom_reducer()
    pickle_unread_columns()
    assert awkward._pickle.get_custom_reducer() is reducer


@pytest.mark.parametrize("plugin", ["with", "without"])
def test_another_process_reads_what_it_gets(array: Any, plugin: str):
    """Also if no reducer is installed, as without dask-awkward."""
    code = f"""
import pickle, sys
import awkward as ak, awkward._pickle
if {plugin == "without"}:
    awkward._pickle._plugin, awkward._pickle._is_registered = None, True
array = pickle.load(sys.stdin.buffer)
assert pickle.loads(pickle.dumps(ak.Array([[1], []]))).to_list() == [[1], []]
again = pickle.loads(pickle.dumps(array))
print(ak.sum(again.b), "x" in again.fields)
"""
    layout = EXPECTED[["b"]].layout
    importable: Any = print
    sent = pickle.dumps(ak.Array(fill_unread(layout, FORM, LateBuffers(importable))))
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code],
        input=sent,
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout.split() == [b"6", b"True"]
