"""The worker's half of a cluster's feeds: asks the scheduler for files by number."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Coroutine
from typing import Any, TypeVar

import distributed
from distributed import Worker, WorkerPlugin

from servicex_layer.errors import ConfigError
from servicex_layer.feed._request import RequestAddress
from servicex_layer.feed._subscriber import RemoteFeed, Subscriber
from servicex_layer.feed._wait_on_worker import worker_loop

__all__ = ["PLUGIN_NAME", "SubscriberPlugin", "feed_on_worker", "this_worker"]

T = TypeVar("T")

PLUGIN_NAME = "servicex-layer"


def this_worker() -> Worker | None:
    """Return the Dask worker that the calling task runs on; ``None`` elsewhere."""
    try:
        return distributed.get_worker()
    except ValueError:
        return None


def feed_on_worker(worker: Worker, request: RequestAddress) -> RemoteFeed:
    """Return the cluster's feed of a request.

    Raises
    ------
    ConfigError
        If the cluster was never registered.
    """
    plugin = worker.plugins.get(PLUGIN_NAME)
    if not isinstance(plugin, SubscriberPlugin):
        raise ConfigError(
            f"This Dask cluster can't follow request {request.request_id}: it was never "
            "registered. Call servicex_layer.register(client); with an asynchronous client, await "
            "servicex_layer.register(client)."
        )
    known = request.known
    return RemoteFeed(plugin.subscriber, request.request_id, request.backend, known, plugin.submit)


class SubscriberPlugin(WorkerPlugin):
    """Asks the scheduler for files, by number, for all tasks of a worker."""

    name = PLUGIN_NAME
    subscriber: Subscriber
    _worker: Worker

    def setup(self, worker: Worker) -> None:
        """See `distributed.WorkerPlugin.setup`."""
        self._worker = worker
        self.subscriber = Subscriber(self._send)
        worker.stream_handlers["servicex_answer"] = self.subscriber.answer

    def teardown(self, worker: Worker) -> None:
        """See `distributed.WorkerPlugin.teardown`."""
        del worker
        self.subscriber.cancel_all()

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Start a coroutine in the worker's event loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, worker_loop(self._worker))

    def _send(self, message: dict[str, Any]) -> None:
        worker_loop(self._worker).call_soon_threadsafe(_send_to_scheduler, self._worker, message)


def _send_to_scheduler(worker: Worker, message: dict[str, Any]) -> None:
    """Send a message over a worker's stream to the scheduler, if it is open; in the worker's loop.

    ``Worker.batched_stream`` is not documented, but what Dask's own extensions use.
    """
    stream: Any = worker.batched_stream
    if not stream.closed():
        stream.send(message)
