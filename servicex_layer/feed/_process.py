"""Finds the feed of a request: the cluster's, or the process's own."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import threading
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

from servicex_layer._config import Polling, find_backend
from servicex_layer._model import Backend, Location, NoFile, ResultFile
from servicex_layer.backend import RestClient
from servicex_layer.feed._feed import RequestFeed
from servicex_layer.feed._loop_thread import loop_thread
from servicex_layer.feed._worker_plugin import ClusterFeed, this_worker

__all__ = ["Feed", "feed", "process_feed", "record_read"]

T = TypeVar("T")


class Feed(Protocol):
    """The feed of a request as a task sees it, wherever it is held."""

    async def get(
        self, number: int, npartitions: int, max_failed: float = 1.0
    ) -> ResultFile | NoFile:
        """Wait for the file with a number; see `RequestFeed.get`."""
        ...

    def get_nowait(
        self, number: int, npartitions: int, max_failed: float = 1.0
    ) -> ResultFile | NoFile | None:
        """Return the file with a number if it is known; see `RequestFeed.get_nowait`."""
        ...

    async def locate(self, name: str, rejected: str | None = None) -> Location:
        """Return where a file is; see `RequestFeed.locate`."""
        ...

    def locate_nowait(self, file: ResultFile, rejected: str | None = None) -> Location | None:
        """Return where a file is if that is known; see `RequestFeed.locate_nowait`."""
        ...

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Start one of these coroutines, from any thread."""
        ...


def feed(request_id: str, backend: str | None) -> Feed:
    """Return the feed of a request for a task that runs here.

    On a worker of a registered cluster it is the cluster's; in a process that computes alone the
    process's. Processes that share no feed number files by the ``settle`` rule.

    Parameters
    ----------
    request_id : str
        The request.
    backend : str or None
        The backend's name in ``servicex.yaml``; ``None`` for the default.
    """
    worker = this_worker()
    shared = None if worker is None else ClusterFeed.on(worker, request_id, backend)
    if shared is not None:
        return shared
    alone = worker is None and multiprocessing.parent_process() is None
    return process_feed(request_id, find_backend(backend), settled=not alone)


def record_read(request_id: str, backend: str | None, number: int, received: int) -> None:
    """Record that a partition was read here, for the request's progress.

    Parameters
    ----------
    request_id, backend
        As in `feed`.
    number : int
        The partition.
    received : int
        Number of bytes that were transferred for it.
    """
    worker = this_worker()
    shared = None if worker is None else ClusterFeed.on(worker, request_id, backend)
    if shared is not None:
        shared.record_read(number, received)
        return
    with _process_feeds_lock:
        feeds = [feed for key, feed in _process_feeds.items() if key[0] == request_id]
    for feed in feeds:
        feed.read_progress.record(number, received)


class _ProcessFeed(RequestFeed):
    """The feed of a process that computes alone."""

    def configure(self, polling: Polling, backend: Backend) -> None:
        """Go on with other settings, and with another token."""
        self.polling = polling
        self._rest.configure(polling.retry_timeout, polling.timeout)
        self._rest.authorize(backend, None)

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """See `Feed.submit`."""
        return loop_thread().submit(coroutine)


_process_feeds: dict[tuple[str, str, bool], _ProcessFeed] = {}
_process_feeds_lock = threading.Lock()


def process_feed(request_id: str, backend: Backend, *, settled: bool = False) -> _ProcessFeed:
    """Return the one feed that this process has of a request."""
    key = request_id, backend.url, settled
    polling = Polling.configured()
    with _process_feeds_lock:
        feed = _process_feeds.get(key)
        if feed is None:
            rest = RestClient(backend, polling.retry_timeout, polling.timeout)
            feed = _ProcessFeed(rest, request_id, polling, settled=settled)
            _process_feeds[key] = feed
        else:
            # With another token it is the same list, with the same numbers.
            feed.configure(polling, backend)
        return feed
