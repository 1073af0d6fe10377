"""Where the feed of a request is, for whoever computes: the cluster's, or the process's own."""

from __future__ import annotations

import atexit
import concurrent.futures
import functools
import multiprocessing
import threading
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

from servicex_layer._config import Polling, find_backend
from servicex_layer._model import Backend, Location, NoFile, ResultFile
from servicex_layer.backend import RestClient
from servicex_layer.feed._feed import CompletionFeed
from servicex_layer.feed._loop_thread import LoopThread
from servicex_layer.feed._worker_plugin import ClusterFeed, this_worker

__all__ = ["Feed", "feed", "loop_thread", "process_feed", "record_read"]

T = TypeVar("T")


class Feed(Protocol):
    """What a task sees of the feed of a request, wherever that is held."""

    async def get(
        self, number: int, npartitions: int, max_failed: float = 1.0
    ) -> ResultFile | NoFile:
        """Wait for the file with this number; see `CompletionFeed.get`."""
        ...

    async def locate(self, name: str, rejected: str | None = None) -> Location:
        """Tell where the file of this name is; see `CompletionFeed.locate`."""
        ...

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Start a call of one of the above, from any thread."""
        ...

    def get_nowait(
        self, number: int, npartitions: int, max_failed: float = 1.0
    ) -> ResultFile | NoFile | None:
        """Tell at once what there is to tell of a number; see `CompletionFeed.get_nowait`."""
        ...

    def locate_nowait(self, file: ResultFile, rejected: str | None = None) -> Location | None:
        """Tell at once where a file is, if that is known; see `CompletionFeed.locate_nowait`."""
        ...


def feed(request_id: str, backend: str | None) -> Feed:
    """Find the feed of a request for a task that runs here.

    On a worker of a cluster that was told of a backend it is the cluster's, in a process that
    computes alone the process's. Where processes can share none, files are numbered by the
    ``settle`` rule.

    Parameters
    ----------
    request_id : str
        The request.
    backend : str or None
        The backend's name in ``servicex.yaml``; ``None`` for the default.
    """
    worker = this_worker()
    shared = None if worker is None else ClusterFeed.find(worker, request_id, backend)
    if shared is not None:
        return shared
    alone = worker is None and multiprocessing.parent_process() is None
    return process_feed(request_id, find_backend(backend), settled=not alone)


def record_read(request_id: str, backend: str | None, number: int, received: int) -> None:
    """Note that a partition was read here, for whoever looks how far its request is.

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
    shared = None if worker is None else ClusterFeed.find(worker, request_id, backend)
    if shared is not None:
        shared.note(number, received)
        return
    with _process_feeds_lock:
        found = [feed for which, feed in _process_feeds.items() if which[0] == request_id]
    for feed in found:
        feed.read_progress.note(number, received)


class _ProcessFeed(CompletionFeed):
    """The feed of a process that shares none with others."""

    def configure(self, polling: Polling, backend: Backend) -> None:
        """Go on with other settings, and with another token."""
        self.polling = polling
        self._rest.configure(polling.retry_timeout, polling.timeout)
        self._rest.authorize(backend, None)

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """See `Feed.submit`."""
        return loop_thread().submit(coroutine)


@functools.cache
def loop_thread() -> LoopThread:
    """Give the process's event loop."""
    made = LoopThread()
    atexit.register(made.close)
    return made


_process_feeds: dict[tuple[str, str, bool], _ProcessFeed] = {}
_process_feeds_lock = threading.Lock()


def process_feed(request_id: str, backend: Backend, *, settled: bool = False) -> _ProcessFeed:
    """Give the one feed that this process has for a request."""
    which = request_id, backend.url, settled
    with _process_feeds_lock:
        polling = Polling.configured()
        found = _process_feeds.get(which)
        if found is None:
            rest = RestClient(backend, polling.retry_timeout, polling.timeout)
            found = _ProcessFeed(rest, request_id, polling, settled=settled)
            _process_feeds[which] = found
        else:
            # With another token too it is the same list, with the same numbers.
            found.configure(polling, backend)
        return found
