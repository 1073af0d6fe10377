"""Waiting on a Dask worker without holding a thread or a slot."""

from __future__ import annotations

import asyncio
import concurrent.futures
import itertools
import time
from collections.abc import Awaitable
from typing import Any, TypeVar

from dask.typing import Key
from distributed import Reschedule, Worker, WorkerPlugin, rejoin, secede
from distributed.worker_state_machine import SecedeEvent

__all__ = ["wait_in_worker_thread", "wait_seceded", "worker_loop"]

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
        The task's key, as far as the task knows: a graph may have been rewritten.
    pending : awaitable
        The result.

    Raises
    ------
    distributed.Reschedule
        If the task was cancelled. A task that was requested again meanwhile then starts from the
        beginning; no value is left that could pass for its result.
    """
    key = _key_of_running_task(worker, key)
    plugin = await _plugin_of(worker)
    future = asyncio.ensure_future(pending)
    plugin.futures[key] = future
    _secede(worker, key)
    try:
        return await future
    except asyncio.CancelledError:
        raise Reschedule from None
    finally:
        plugin.futures.pop(key, None)


def wait_in_worker_thread(worker: Worker, pending: concurrent.futures.Future[T]) -> T:
    """Wait for a result within a task that runs in a thread of a worker.

    The thread leaves the worker's pool while it waits, so that another takes its place. If the task
    is cancelled, so is the wait.

    Parameters
    ----------
    worker : distributed.Worker
        The worker.
    pending : concurrent.futures.Future
        The result.

    Raises
    ------
    distributed.Reschedule
        As in `wait_seceded`.
    """
    key = worker.get_current_task()
    adding = asyncio.run_coroutine_threadsafe(_plugin_of(worker), worker_loop(worker))
    plugin = adding.result()
    plugin.futures[key] = pending
    secede()  # type: ignore[no-untyped-call]
    try:
        result = pending.result()
    except concurrent.futures.CancelledError:
        raise Reschedule from None
    finally:
        pending.cancel()
        plugin.futures.pop(key, None)
    rejoin()  # type: ignore[no-untyped-call]
    return result


async def _plugin_of(worker: Worker) -> _SecededWaits:
    plugin = worker.plugins.get(_SecededWaits.name)
    if not isinstance(plugin, _SecededWaits):
        plugin = _SecededWaits()
        await worker.plugin_add(plugin, _SecededWaits.name)
    return plugin


def _key_of_running_task(worker: Worker, expected: Key) -> Key:
    # `Worker.get_current_task` works in threads only. A worker names the asyncio task of a Dask
    # task after its key, which is private; the test of cloned graphs fails if that changes.
    task = asyncio.current_task()
    name = "" if task is None else task.get_name()
    for key in itertools.chain([expected], worker.active_keys):
        if name == f"execute({key!r})":
            return key
    return expected


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
    futures: dict[Key, asyncio.Future[Any] | concurrent.futures.Future[Any]]

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
