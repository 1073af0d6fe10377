"""Waiting in the threads of Dask's local schedulers: in order, and no longer than it is wanted."""

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


def wait(key: Key, waiting: concurrent.futures.Future[T]) -> T:
    """Wait for something within a task that runs in a thread.

    Parameters
    ----------
    key : dask.typing.Key
        The task's key.
    waiting : concurrent.futures.Future
        What to wait for; cancelled where the computation that the task is part of ends before.
    """
    return _waits.result(key, waiting)


def register_callback() -> None:
    """Have the next computation followed, by whoever prepares one that waits.

    Dask takes its callbacks away while a computation runs, and of several at the same time it may
    give none back.
    """
    _waits.register()


class _Waits(Callback):
    """Follows the computations of Dask's local schedulers, by their own callbacks.

    A thread can neither be given back while it waits nor be interrupted. So those who wait
    begin in the order in which they can end: else all threads could wait for the last files
    while nobody reads the first. And where a computation fails, or Ctrl-C ends it, the waits of
    its tasks are ended: else they would go on, and keep the interpreter from exiting.
    """

    def __init__(self) -> None:
        super().__init__(  # type: ignore[no-untyped-call]
            start_state=self._sort, finish=self._end
        )
        self._lock = threading.Lock()
        self._waiting: dict[Key, set[concurrent.futures.Future[Any]]] = {}

    def result(self, key: Key, waiting: concurrent.futures.Future[T]) -> T:
        with self._lock:
            self._waiting.setdefault(key, set()).add(waiting)
        try:
            return waiting.result()
        finally:
            waiting.cancel()
            with self._lock:
                self._waiting[key].discard(waiting)
                if not self._waiting[key]:
                    del self._waiting[key]

    def _sort(self, _: Any, state: Mapping[str, Any]) -> None:
        # The scheduler takes what is ready from the end of this list.
        ready: list[Key] = state["ready"]
        waits = [key for key in ready if _is_wait(key)]
        if waits:
            others = [key for key in ready if not _is_wait(key)]
            ready[:] = [*sorted(waits, key=_number, reverse=True), *others]

    def _end(self, _: Any, state: Mapping[str, Any], failed: bool) -> None:
        if not failed:
            return
        with self._lock:
            left = [one for key in state.get("running", ()) for one in self._waiting.get(key, ())]
        for waiting in left:
            waiting.cancel()


def _is_wait(key: Key) -> bool:
    return isinstance(key, tuple) and str(key[0]).startswith(FILE_LAYER)


def _number(key: Any) -> int:
    number: int = key[1]
    return number


_waits = _Waits()
