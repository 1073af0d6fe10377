from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import dask
import pytest
from dask.threaded import get

from servicex_layer.feed import register_callback, wait


def test_a_task_gets_the_result_that_it_waits_for(in_thread: Any):
    pending: Future[int] = Future()
    result = in_thread(lambda: get({"task": (wait, pending)}, "task"))
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


def wait_for(pending: Future[Any], started: threading.Event) -> Any:
    started.set()
    return wait(pending)


def test_a_failed_computation_cancels_its_waits_and_no_others(in_thread: Callable[..., Any]):
    # Both wait for the same file, under the same key.
    failing, other = Future[int](), Future[int]()
    failing_waits, other_waits = threading.Event(), threading.Event()
    key = ("servicex-file-1", 0)
    register_callback()
    result = in_thread(lambda: get({key: (wait_for, other, other_waits)}, key))
    assert other_waits.wait(30)
    register_callback()
    graph: dict[Any, Any] = {
        key: (wait_for, failing, failing_waits),
        "failure": (raise_when_set, failing_waits),
    }
    with pytest.raises(LookupError, match="another task"), dask.config.set(num_workers=2):
        get(graph, list(graph))
    with pytest.raises(CancelledError):
        failing.result(30)
    other.set_result(7)
    assert result() == 7


def test_waits_of_a_configured_pool_are_cancelled_too():
    failing, failing_waits = Future[int](), threading.Event()
    graph: dict[Any, Any] = {
        "wait": (wait_for, failing, failing_waits),
        "failure": (raise_when_set, failing_waits),
    }
    register_callback()
    with (
        ThreadPoolExecutor(2) as pool,
        dask.config.set(pool=pool),
        pytest.raises(LookupError, match="another task"),
    ):
        get(graph, list(graph))
    assert failing.cancelled()


SCRIPT = """
import subprocess
import sys
import threading
from concurrent.futures import Future
from dask.threaded import get
from servicex_layer.feed import wait

started = threading.Event()

def start_and_wait():
    started.set()
    return wait(Future())

threading.Thread(target=get, args=({"a": (start_and_wait,)}, "a"), daemon=True).start()
assert started.wait(30)
"""


def test_a_script_exits_while_a_daemon_thread_computes():
    subprocess.run([sys.executable, "-c", SCRIPT], check=True, timeout=60)  # noqa: S603
