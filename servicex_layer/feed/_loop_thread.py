"""An event loop beside the program: a thread that lives only while something runs in it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Coroutine
from functools import partial
from typing import Any, TypeVar

__all__ = ["LoopThread"]

T = TypeVar("T")


class LoopThread:
    """Runs coroutines for threads that have no event loop of their own.

    The loop is kept from one use to the next, its thread is not: it starts with the first
    coroutine and ends with the last. Safe to use from any thread.

    Examples
    --------
    >>> async def answer():
    ...     return 42
    >>> from contextlib import closing
    >>> with closing(LoopThread()) as background:
    ...     background.run(answer())
    42
    """

    _loop: asyncio.AbstractEventLoop
    _lock: threading.Lock
    _running: int
    _idle: asyncio.Event
    _thread: threading.Thread | None
    _last_thread: threading.Thread | None

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._lock = threading.Lock()
        self._running = 0
        self._idle = asyncio.Event()
        self._thread = None
        self._last_thread = None

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Start a coroutine; cancelling the future cancels it."""
        future: concurrent.futures.Future[T] = concurrent.futures.Future()
        self._submit(coroutine, future)
        return future

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine and wait for its result; Ctrl-C cancels it."""
        future: concurrent.futures.Future[T] = concurrent.futures.Future()
        try:
            self._submit(coroutine, future)
            return future.result()
        finally:
            future.cancel()

    def close(self) -> None:
        """Give the loop's file descriptors back, unless something still runs in it."""
        with self._lock:
            idle = self._running == 0
        if idle:
            if self._last_thread is not None:
                self._last_thread.join()
            self._loop.close()

    def _submit(
        self, coroutine: Coroutine[Any, Any, T], future: concurrent.futures.Future[T]
    ) -> None:
        with self._lock:
            self._running += 1
            # Before the thread, whose start may be interrupted.
            self._loop.call_soon_threadsafe(self._start, coroutine, future)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._serve,
                    args=(self._last_thread,),
                    name="servicex-layer",
                    daemon=True,
                )
                self._last_thread = self._thread
                self._thread.start()

    def _serve(self, before: threading.Thread | None) -> None:
        if before is not None:
            before.join()
        self._loop.run_until_complete(self._until_idle())

    async def _until_idle(self) -> None:
        while True:
            await self._idle.wait()
            self._idle.clear()
            with self._lock:
                if self._running == 0:
                    self._thread = None
                    return

    def _start(
        self, coroutine: Coroutine[Any, Any, T], future: concurrent.futures.Future[T]
    ) -> None:
        task = self._loop.create_task(coroutine)
        task.add_done_callback(partial(self._finish, future))
        future.add_done_callback(partial(self._cancel, task))

    def _cancel(self, task: asyncio.Task[T], future: concurrent.futures.Future[T]) -> None:
        if future.cancelled():
            self._loop.call_soon_threadsafe(task.cancel)

    def _finish(self, future: concurrent.futures.Future[T], task: asyncio.Task[T]) -> None:
        # Before the result is given out: then whoever has it may close this.
        with self._lock:
            self._running -= 1
        if task.cancelled():
            future.cancel()
        elif future.set_running_or_notify_cancel():
            error = task.exception()
            if error is None:
                future.set_result(task.result())
            else:
                future.set_exception(error)
        self._idle.set()
