from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from functools import partial
from typing import Any

import dask
import pytest
from dask.threaded import get

from servicex_layer.feed import register_callback, wait


def test_a_task_gets_the_result_that_it_waits_for(in_thread: Any):
    key = ("servicex-file-1", 0)
    pending: Future[int] = Future()
    result = in_thread(lambda: get({key: (partial(wait, key), pending)}, key))
    pending.set_result(5)
    assert result() == 5


def test_waits_start_in_the_order_of_files_and_before_other_tasks():
    started: list[object] = []
    lock = threading.Lock()

    def start(number: object) -> None:
        with lock:
            started.append(number)

    graph: dict[Any, Any] = {"other": (partial(start, "other"),)}
    graph |= {("servicex-file-1", number): (partial(start, number),) for number in range(20)}
    register_callback()
    with dask.config.set(num_workers=1):
        get(graph, list(graph))
    assert [number for number in started if number != "other"] == list(range(20))


def raise_when_set(event: threading.Event) -> None:
    assert event.wait(30)
    raise LookupError("of another task")


def wait_for(key: Any, pending: Future[Any], started: threading.Event) -> Any:
    started.set()
    return wait(key, pending)


def test_a_failed_computation_cancels_its_waits_and_no_others(in_thread: Callable[..., Any]):
    failing, other = ("servicex-file-a", 0), ("servicex-file-b", 0)
    pending: dict[Any, Future[int]] = {failing: Future(), other: Future()}
    started = {key: threading.Event() for key in pending}
    register_callback()
    result = in_thread(
        lambda: get({other: (partial(wait_for, other), pending[other], started[other])}, other)
    )
    assert started[other].wait(30)
    register_callback()
    graph: dict[Any, Any] = {
        failing: (partial(wait_for, failing), pending[failing], started[failing]),
        "failure": (raise_when_set, started[failing]),
    }
    with pytest.raises(LookupError, match="another task"), dask.config.set(num_workers=2):
        get(graph, list(graph))
    with pytest.raises(CancelledError):
        pending[failing].result(30)
    pending[other].set_result(7)
    assert result() == 7
