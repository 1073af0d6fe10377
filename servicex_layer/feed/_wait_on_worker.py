"""Waiting on a Dask worker without keeping a thread, or a place, from any other task."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Any, TypeVar

from dask.typing import Key
from distributed import Reschedule, Worker, WorkerPlugin
from distributed.worker_state_machine import SecedeEvent

__all__ = ["wait_seceded", "worker_loop"]

T = TypeVar("T")


def worker_loop(worker: Worker) -> asyncio.AbstractEventLoop:
    """Give the event loop that a worker runs in."""
    loop: Any = worker.loop
    found: asyncio.AbstractEventLoop = loop.asyncio_loop
    return found


async def wait_seceded(worker: Worker, key: Key, waiting: Awaitable[T]) -> T:
    """Wait for something within a task that runs in a worker's event loop.

    The task gives its place on the worker back at once, as `distributed.secede` does for a task
    in a thread; it has no thread to begin with. When it is cancelled, the wait is too.

    Parameters
    ----------
    worker : distributed.Worker
        The worker.
    key : dask.typing.Key
        The task's key.
    waiting : awaitable
        What to wait for.

    Raises
    ------
    distributed.Reschedule
        Where the task was cancelled. Were it wanted again meanwhile, it would start anew; no
        value that could be taken for its result is left.
    """
    plugin = worker.plugins.get(_ParkedTasks.name)
    if not isinstance(plugin, _ParkedTasks):
        plugin = _ParkedTasks()
        await worker.plugin_add(plugin, _ParkedTasks.name)
    future = asyncio.ensure_future(waiting)
    plugin.futures[key] = future
    worker.handle_stimulus(
        SecedeEvent(
            key=key, compute_duration=0.0, stimulus_id=f"servicex-wait_seceded-{time.time()}"
        )
    )
    try:
        return await future
    except asyncio.CancelledError:
        raise Reschedule from None
    finally:
        plugin.futures.pop(key, None)


class _ParkedTasks(WorkerPlugin):
    """The waits of one worker, ended when their task is cancelled."""

    name = "servicex-layer-parked-tasks"
    futures: dict[Key, asyncio.Future[Any]]

    def __init__(self) -> None:
        self.futures = {}

    def transition(self, key: Key, start: str, finish: str, **_: Any) -> None:
        """See `distributed.WorkerPlugin.transition`."""
        # A task that runs cannot be released at once: Dask marks it and waits for its end.
        if start in ("executing", "long-running") and finish == "released":
            future = self.futures.get(key)
            if future is not None:
                future.cancel()

    def teardown(self, worker: Worker) -> None:
        """See `distributed.WorkerPlugin.teardown`."""
        del worker
        for future in self.futures.values():
            future.cancel()
