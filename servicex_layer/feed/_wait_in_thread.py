"""Waiting in the threads of Dask's local schedulers."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Mapping
from typing import Any, TypeVar

import dask
import dask.threaded
from dask.callbacks import Callback
from dask.typing import Key

from servicex_layer._model import FILE_LAYER
from servicex_layer.feed._loop_thread import interruptible_result

__all__ = ["register_callback", "wait"]

T = TypeVar("T")


def wait(pending: concurrent.futures.Future[T]) -> T:
    """Wait for a result within a task that runs in a thread.

    Parameters
    ----------
    pending : concurrent.futures.Future
        The result; cancelled if the computation that the task belongs to fails or is interrupted,
        and when the interpreter exits.
    """
    return _waits.result(pending)


def register_callback() -> None:
    """Make sure that the next computation calls back; cheap, so call it whenever a graph is made.

    Dask drops callbacks when computations overlap: each removes the callbacks while it runs, and
    puts back those it removed.
    """
    _waits.register()


class _Waits(Callback):
    """The waits of this process, in the order of files and with an end.

    A waiting thread can neither be lent to another task nor be interrupted. So waits start in the
    order in which they can end: otherwise all threads might wait for the last files while nobody
    reads the first. And if a computation fails or Ctrl-C ends it, so do its waits: otherwise they
    would go on, and keep the interpreter from exiting.
    """

    def __init__(self) -> None:
        super().__init__(  # type: ignore[no-untyped-call]
            start_state=self._sort, finish=self._end
        )
        self._lock = threading.Lock()
        self._pending: dict[threading.Thread, concurrent.futures.Future[Any]] = {}
        self._exiting = False

    def result(self, pending: concurrent.futures.Future[T]) -> T:
        thread = threading.current_thread()
        with self._lock:
            if self._exiting:
                pending.cancel()
            self._pending[thread] = pending
        try:
            return interruptible_result(pending)
        finally:
            pending.cancel()
            with self._lock:
                del self._pending[thread]

    def exit(self) -> None:
        """End all waits, and those that begin from now on."""
        with self._lock:
            self._exiting = True
            pending = list(self._pending.values())
        for future in pending:
            future.cancel()

    def _sort(self, _: Any, state: Mapping[str, Any]) -> None:
        ready = _ready_tasks(state)
        waits = [key for key in ready if _is_wait(key)]
        if waits:
            others = [key for key in ready if not _is_wait(key)]
            ready[:] = [*sorted(waits, key=_number, reverse=True), *others]

    def _end(self, _: Any, state: Mapping[str, Any], failed: bool) -> None:
        del state
        if not failed:
            return
        # By thread and not by key: another computation may wait for the same file.
        threads = _threads_of_this_computation()
        with self._lock:
            unfinished = [future for thread, future in self._pending.items() if thread in threads]
        for future in unfinished:
            future.cancel()


def _threads_of_this_computation() -> set[threading.Thread]:
    """Return the threads that work for a computation that was started in the calling thread.

    `dask.threaded.default_pool` and `pools` are private, as is `_threads` of Python's executors. If
    they changed, a failed computation would leave its waits until the interpreter exits.
    """
    caller = threading.current_thread()
    pools: list[Any] = [
        *dask.threaded.pools.get(caller, {}).values(),
        dask.config.get("pool", None),
    ]
    if caller is threading.main_thread():
        pools.append(dask.threaded.default_pool)
    return {thread for pool in pools for thread in getattr(pool, "_threads", ())}


def _ready_tasks(state: Mapping[str, Any]) -> list[Key]:
    """Return the tasks that can start, in the list that Dask takes them from: the last one first.

    ``"ready"`` is a private part of the state of `dask.local`.
    """
    ready: list[Key] = state["ready"]
    return ready


def _is_wait(key: Key) -> bool:
    return isinstance(key, tuple) and str(key[0]).startswith(FILE_LAYER)


def _number(key: Any) -> int:
    number: int = key[1]
    return number


_waits = _Waits()
# `atexit` would be too late: Python joins the threads of executors before. This function is private
# to Python; `concurrent.futures` uses it for these threads. Without it a script whose daemon thread
# computes would end with the request.
threading._register_atexit(_waits.exit)  # type: ignore[attr-defined]
