"""Waiting on a Dask worker without holding a thread or a slot."""

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
    """Return the event loop that a worker runs in.

    ``asyncio_loop`` belongs to Tornado's loop, whose successor may be asyncio's itself.
    """
    loop: Any = worker.loop
    asyncio_loop: asyncio.AbstractEventLoop = loop.asyncio_loop
    return asyncio_loop


async def wait_seceded(worker: Worker, key: Key, pending: Awaitable[T]) -> T:
    """Wait for a result within a task that runs in a worker's event loop.

    The task secedes: it gives its slot back at once, as `distributed.secede` does for a task in a
    thread. If the task is cancelled, so is the wait.

    Parameters
    ----------
    worker : distributed.Worker
        The worker.
    key : dask.typing.Key
        The task's key.
    pending : awaitable
        The result.

    Raises
    ------
    distributed.Reschedule
        If the task was cancelled. A task that was requested again meanwhile then starts from the
        beginning; no value is left that could pass for its result.
    """
    plugin = worker.plugins.get(_SecededWaits.name)
    if not isinstance(plugin, _SecededWaits):
        plugin = _SecededWaits()
        await worker.plugin_add(plugin, _SecededWaits.name)
    future = asyncio.ensure_future(pending)
    plugin.futures[key] = future
    _secede(worker, key)
    try:
        return await future
    except asyncio.CancelledError:
        raise Reschedule from None
    finally:
        plugin.futures.pop(key, None)


def _secede(worker: Worker, key: Key) -> None:
    """Give a task's slot back to its worker; in the worker's event loop.

    `distributed.secede` works in threads only, so this sends the event that it sends. SecedeEvent
    is private: a release may change its fields.
    """
    worker.handle_stimulus(
        SecedeEvent(
            key=key, compute_duration=0.0, stimulus_id=f"servicex-layer-secede-{time.time()}"
        )
    )


class _SecededWaits(WorkerPlugin):
    """The waits of one worker, each cancelled with its task."""

    name = "servicex-layer-seceded-waits"
    futures: dict[Key, asyncio.Future[Any]]

    def __init__(self) -> None:
        self.futures = {}

    def transition(self, key: Key, start: str, finish: str, **_: Any) -> None:
        """See `distributed.WorkerPlugin.transition`."""
        # Dask doesn't release a running task: it marks the task, and waits until it ends.
        if start in ("executing", "long-running") and finish == "released":
            future = self.futures.get(key)
            if future is not None:
                future.cancel()

    def teardown(self, worker: Worker) -> None:
        """See `distributed.WorkerPlugin.teardown`."""
        del worker
        for future in self.futures.values():
            future.cancel()
