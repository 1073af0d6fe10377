"""Waiting in the threads of Dask's local schedulers."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Mapping
from typing import Any, TypeVar

from dask.callbacks import Callback
from dask.typing import Key

from servicex_layer._model import FILE_LAYER

__all__ = ["register_callback", "wait"]

T = TypeVar("T")


def wait(key: Key, pending: concurrent.futures.Future[T]) -> T:
    """Wait for a result within a task that runs in a thread.

    Parameters
    ----------
    key : dask.typing.Key
        The task's key.
    pending : concurrent.futures.Future
        The result; cancelled if the computation that the task belongs to fails or is interrupted.
    """
    return _waits.result(key, pending)


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
        self._pending: dict[Key, set[concurrent.futures.Future[Any]]] = {}

    def result(self, key: Key, pending: concurrent.futures.Future[T]) -> T:
        with self._lock:
            self._pending.setdefault(key, set()).add(pending)
        try:
            return pending.result()
        finally:
            pending.cancel()
            with self._lock:
                self._pending[key].discard(pending)
                if not self._pending[key]:
                    del self._pending[key]

    def _sort(self, _: Any, state: Mapping[str, Any]) -> None:
        ready = _ready_tasks(state)
        waits = [key for key in ready if _is_wait(key)]
        if waits:
            others = [key for key in ready if not _is_wait(key)]
            ready[:] = [*sorted(waits, key=_number, reverse=True), *others]

    def _end(self, _: Any, state: Mapping[str, Any], failed: bool) -> None:
        if not failed:
            return
        with self._lock:
            running = state.get("running", ())
            unfinished = [future for key in running for future in self._pending.get(key, ())]
        for future in unfinished:
            future.cancel()


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
