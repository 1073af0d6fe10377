"""One event loop per process, in a daemon thread, for threads that have no loop of their own."""

from __future__ import annotations

import asyncio
import concurrent.futures.thread
import os
import queue
import threading
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

__all__ = ["LoopThread", "interruptible_result", "loop_thread"]

T = TypeVar("T")

# On Windows, Ctrl-C interrupts no wait without a timeout. Dask waits as long there.
_LONGEST_WAIT = 0.1 if os.name == "nt" else None


class LoopThread:
    """Runs coroutines in an event loop of its own; safe to use from any thread.

    Examples
    --------
    >>> async def answer():
    ...     return 42
    >>> loop_thread().run(answer())
    42
    """

    loop: asyncio.AbstractEventLoop

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._futures: set[concurrent.futures.Future[Any]] | None = set()
        # Made in its thread: on Windows, a loop made in the main thread takes over Ctrl-C.
        made: queue.SimpleQueue[asyncio.AbstractEventLoop] = queue.SimpleQueue()
        threading.Thread(
            target=_run_new_loop, args=(made,), name="servicex-layer", daemon=True
        ).start()
        self.loop = made.get()

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Start a coroutine; cancelling the future cancels it.

        When the interpreter exits, the future is cancelled.
        """
        future: concurrent.futures.Future[T] = concurrent.futures.Future()
        self._submit(coroutine, future)
        return future

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine and return its result; Ctrl-C cancels it."""
        # Made first: Ctrl-C can also come while the coroutine is being submitted.
        future: concurrent.futures.Future[T] = concurrent.futures.Future()
        try:
            self._submit(coroutine, future)
            return interruptible_result(future)
        finally:
            future.cancel()

    def _submit(
        self, coroutine: Coroutine[Any, Any, T], future: concurrent.futures.Future[T]
    ) -> None:
        with self._lock:
            if self._futures is None:
                future.cancel()
            else:
                self._futures.add(future)
        future.add_done_callback(self._discard)
        self.loop.call_soon_threadsafe(self._start, coroutine, future)

    def _start(
        self, coroutine: Coroutine[Any, Any, T], future: concurrent.futures.Future[T]
    ) -> None:
        if future.cancelled():
            coroutine.close()
            return
        task = self.loop.create_task(coroutine)
        task.add_done_callback(partial(_copy_result, future))
        future.add_done_callback(partial(self._cancel_task, task))

    def _cancel_task(self, task: asyncio.Task[T], future: concurrent.futures.Future[T]) -> None:
        if future.cancelled():
            self.loop.call_soon_threadsafe(task.cancel)

    def _discard(self, future: concurrent.futures.Future[Any]) -> None:
        with self._lock:
            if self._futures is not None:
                self._futures.discard(future)

    def cancel_all(self) -> None:
        """Cancel what runs, and what is submitted from now on."""
        with self._lock:
            futures, self._futures = self._futures or set(), None
        for future in futures:
            future.cancel()


def _run_new_loop(made: queue.SimpleQueue[asyncio.AbstractEventLoop]) -> None:
    loop = asyncio.new_event_loop()
    made.put(loop)
    loop.run_forever()


def _copy_result(future: concurrent.futures.Future[T], task: asyncio.Task[T]) -> None:
    if task.cancelled():
        future.cancel()
    elif future.set_running_or_notify_cancel():
        error = task.exception()
        if error is None:
            future.set_result(task.result())
        else:
            future.set_exception(error)


def interruptible_result(
    pending: concurrent.futures.Future[T], *, longest_wait: float | None = _LONGEST_WAIT
) -> T:
    """Wait for a result so that Ctrl-C can interrupt the wait, also on Windows.

    Parameters
    ----------
    pending : concurrent.futures.Future
        The result.
    longest_wait : float, optional
        Seconds after which to wait again; by default never on POSIX.
    """
    while True:
        try:
            pending.exception(longest_wait)
        except TimeoutError:
            continue  # Of this call: a TimeoutError of the result is returned.
        return pending.result()


# One slot and its lock. A forked child has no thread of the parent's, and maybe a lock that another
# thread held.
_instance: LoopThread | None = None
_instance_lock = threading.Lock()


def loop_thread() -> LoopThread:
    """Return the process's event loop; the first call starts it."""
    global _instance  # noqa: PLW0603
    with _instance_lock:
        if _instance is None:
            _instance = LoopThread()
        return _instance


def _forget_in_forked_child() -> None:
    global _instance, _instance_lock  # noqa: PLW0603
    _instance = None
    _instance_lock = threading.Lock()


def _cancel_at_exit() -> None:
    if _instance is not None:
        _instance.cancel_all()


def _before_threads_are_joined(callback: Callable[[], None]) -> None:
    """Call a function when the interpreter exits, before it joins the threads of pools.

    `atexit` is too late: a thread of a pool that waits for a coroutine would never be joined. The
    function is private; `concurrent.futures.thread`, which is imported above so that its own
    callback runs after ours, relies on it.
    """
    register: Callable[[Callable[[], None]], None] = threading._register_atexit  # type: ignore[attr-defined]
    register(callback)


_before_threads_are_joined(_cancel_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_forked_child)
