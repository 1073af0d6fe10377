"""Finds the feed of a request for a task, on a worker, beside a client, or in this process.

All computations of a session number the files alike: those on a cluster ask its scheduler, those in
a process with an active client do so, too, child processes ask their parent, and what each list
learns of the order goes to the others.
"""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Coroutine
from functools import partial
from typing import Any, TypeVar

from servicex_layer._config import Polling, find_backend
from servicex_layer._model import Backend
from servicex_layer.backend import RestClient
from servicex_layer.feed._child import feed_of_parent
from servicex_layer.feed._cluster import ClientSide, active_client, clusters
from servicex_layer.feed._feed import RequestFeed
from servicex_layer.feed._loop_thread import loop_thread
from servicex_layer.feed._order import SESSION
from servicex_layer.feed._register import register
from servicex_layer.feed._request import RequestAddress
from servicex_layer.feed._subscriber import Feed
from servicex_layer.feed._worker_plugin import feed_on_worker, this_worker

__all__ = ["cluster_of", "feed", "process_feed", "record_read"]

T = TypeVar("T")


def feed(request: RequestAddress) -> Feed:
    """Return the feed of a request for a task that runs here.

    Parameters
    ----------
    request : RequestAddress
        The request.

    Raises
    ------
    ConfigError
        On a worker of a cluster that was never registered; if ``servicex.yaml`` is needed here and
        missing.
    CompletionOrderError
        If two computations of this session have numbered the files of the request differently.
    """
    worker = this_worker()
    if worker is not None:
        return feed_on_worker(worker, request)
    url = request.url_or_name()
    side = None if url is None else cluster_of(url)
    if side is not None and url is not None:
        return side.feed(url, request.request_id)
    return feed_of_parent(request) or process_feed(
        request.request_id, find_backend(request.backend)
    )


def record_read(request: RequestAddress, number: int, received: int) -> None:
    """Record that a partition was read here, for the request's progress.

    Parameters
    ----------
    request : RequestAddress
        The request.
    number : int
        The partition.
    received : int
        Number of bytes that were transferred for it.
    """
    feed(request).record_read(number, received)


def cluster_of(url: str) -> ClientSide | None:
    """Return the cluster of the active client, registered if it was not; ``None`` without one."""
    client = active_client()
    # An asynchronous client can't be waited for here, nor can any in its own event loop.
    if client is None or client.asynchronous or client.status != "running" or "://" not in url:
        return None
    side = clusters().get(client)
    if side is None or url not in side.urls:
        register(client, url)
        side = clusters().get(client)
    return side


class _ProcessFeed(RequestFeed):
    """The feed of a process that has no cluster."""

    def configure(self, polling: Polling, backend: Backend) -> None:
        """Go on with other settings, and with another token."""
        self.polling = polling
        self._rest.configure(polling.retry_timeout, polling.timeout)
        self._rest.authorize(backend, None)

    def record_read(self, number: int, received: int) -> None:
        """See `Feed.record_read`."""
        self.read_progress.record(number, received)

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """See `Feed.submit`."""
        return loop_thread().submit(coroutine)


_SOURCE = "this process"
_process_feeds: dict[tuple[str, str], _ProcessFeed] = {}
_process_feeds_lock = threading.Lock()


def process_feed(request_id: str, backend: Backend) -> _ProcessFeed:
    """Return the one feed that this process has of a request.

    Raises
    ------
    CompletionOrderError
        If two computations of this session have numbered the files of the request differently.
    """
    key = backend.url, request_id
    polling = Polling.configured()
    order = SESSION.get(*key)
    with _process_feeds_lock:
        feed = _process_feeds.get(key)
        if feed is None:
            feed = _process_feeds[key] = _ProcessFeed(
                RestClient(backend, polling.retry_timeout, polling.timeout),
                request_id,
                polling,
                order=order,
                on_order=partial(_learn, key),
            )
            return feed
    # With another token it is the same list, with the same numbers.
    feed.configure(polling, backend)
    if len(order) > len(feed.order):
        loop_thread().loop.call_soon_threadsafe(feed.extend_order, order)
    return feed


def _learn(key: tuple[str, str], start: int, order: bytes) -> None:
    SESSION.extend(*key, start, order, _SOURCE)
