from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from dask.base import tokenize
from distributed.utils import iscoroutinefunction

from servicex_layer import SXFileLayer
from servicex_layer.local import LocalServiceX

REQUEST = "b5901cca-9858-42e7-a093-0929cf391f0e"


def test_a_call_returns_the_file_with_the_number(finished: Callable[..., str], inputs: list[Path]):
    await_file = SXFileLayer(finished(inputs), 5).await_file
    assert [await_file(number).input for number in range(4)] == list(map(str, inputs))
    assert await_file(4).number == 4
    assert not hasattr(await_file(4), "input")


def test_a_call_waits_and_measures_the_wait(
    service: LocalServiceX, submit: Callable[..., str], inputs: list[Path], in_thread: Any
):
    request_id = submit(inputs)
    result = in_thread(lambda: SXFileLayer(request_id, 4).await_file(0))
    service.release(request_id, 2)
    file = result()
    assert (file.number, file.input) == (0, str(inputs[2]))
    assert file.waited > 0


def test_distributed_takes_it_for_a_coroutine_function():
    # distributed.utils.iscoroutinefunction is private; if it changes, each wait holds a thread.
    assert iscoroutinefunction(SXFileLayer(REQUEST, 3).await_file)


@pytest.mark.parametrize("pickler", [pickle, cloudpickle])
def test_it_survives_a_pickle_with_the_same_token(pickler: Any):
    await_file = SXFileLayer(REQUEST, 3).await_file
    copy = pickle.loads(pickler.dumps(await_file))  # noqa: S301
    assert tokenize(copy) == tokenize(await_file)
    assert tokenize(copy) != tokenize(SXFileLayer(REQUEST, 4).await_file)
