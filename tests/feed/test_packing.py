from __future__ import annotations

import pickle
import threading
from datetime import UTC, datetime
from hashlib import blake2b

import pytest
from tblib.pickling_support import install  # type: ignore[import-untyped]

from servicex_layer._model import NoFile, ResultFile
from servicex_layer.errors import UnknownRequestError
from servicex_layer.feed._packing import pack, pack_batch, unpack, unpack_batch

TIME = datetime(2026, 11, 22, 19, 45, tzinfo=UTC)


def file(number: int) -> ResultFile:
    name = f"root:::eospublic.cern.ch::store:{blake2b(bytes(number), digest_size=16).hexdigest()}"
    return ResultFile(number, TIME, name, name.replace(":", "/"), 1000, 100_000)


def test_an_answer_comes_out_as_it_was_put_in():
    assert unpack(pack(file(1))) == file(1)
    assert unpack(pack(None)) is None


def test_an_error_is_raised_when_it_is_unpacked():
    with pytest.raises(UnknownRequestError, match="no such request"):
        unpack(pack(UnknownRequestError("no such request")))


def test_an_error_is_packed_without_its_causes():
    error = UnknownRequestError("no such request")
    error.__cause__ = OSError(threading.Lock())  # as a failed call holds one
    install(error, error.__cause__)  # as distributed does
    with pytest.raises(UnknownRequestError, match="no such request") as raised:
        unpack(pack(error))
    assert raised.value.__cause__ is None


def test_a_batch_comes_out_as_it_was_put_in():
    files: list[ResultFile | NoFile] = [file(0), NoFile(1)]
    assert unpack_batch(pack_batch(files)) == files
    assert unpack_batch(pack_batch([])) == []


def test_a_batch_is_a_third_of_its_pickle_or_less_as_dask_keeps_many():
    files = [file(number) for number in range(256)]
    assert 3 * len(pack_batch(files)) < len(pickle.dumps(files))
