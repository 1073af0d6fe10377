"""The worker's half of the feeds of a cluster."""

from __future__ import annotations

import asyncio
import concurrent.futures
import itertools
import pickle
from collections.abc import Coroutine
from typing import Any, TypeVar

import distributed
from distributed import Worker, WorkerPlugin

from servicex_layer._model import Location, NoFile, ResultFile
from servicex_layer.feed._wait_on_worker import worker_loop

__all__ = ["PLUGIN_NAME", "ClusterFeed", "SubscriberPlugin", "this_worker"]

T = TypeVar("T")

# How many files that will not change any more a worker remembers: about 30 MB.
_REMEMBERED = 50_000

PLUGIN_NAME = "servicex-layer"


def this_worker() -> Worker | None:
    """Tell on which Dask worker the calling task runs, if on one."""
    try:
        return distributed.get_worker()
    except ValueError:
        return None


class SubscriberPlugin(WorkerPlugin):
    """The worker's half: asks the scheduler's half for files, by number."""

    name = PLUGIN_NAME
    worker: Worker
    known: dict[tuple[Any, ...], ResultFile | NoFile]
    """What will not change any more, by what was asked."""

    _answers: dict[int, asyncio.Future[tuple[bytes, bytes]]]
    _numbers: itertools.count[int]

    def setup(self, worker: Worker) -> None:
        """See `distributed.WorkerPlugin.setup`."""
        self.worker = worker
        self.known = {}
        self._answers = {}
        self._numbers = itertools.count()
        worker.stream_handlers["servicex_answer"] = self.servicex_answer

    def teardown(self, worker: Worker) -> None:
        """See `distributed.WorkerPlugin.teardown`."""
        del worker
        for answer in self._answers.values():
            answer.cancel()

    def servicex_answer(self, wait: int, answer: bytes, near: bytes) -> None:
        """Take what the scheduler tells."""
        future = self._answers.get(wait)
        if future is not None and not future.done():
            future.set_result((answer, near))

    def remember(self, which: tuple[Any, ...], file: ResultFile | NoFile) -> None:
        """Keep what was told; what was told first is forgotten first, and asked for again."""
        self.known[which] = file
        while len(self.known) > _REMEMBERED:
            del self.known[next(iter(self.known))]

    async def ask(self, **question: Any) -> tuple[bytes, bytes]:
        """Ask the scheduler for a file and wait for the answer."""
        wait = next(self._numbers)
        future: asyncio.Future[tuple[bytes, bytes]] = asyncio.get_running_loop().create_future()
        self._answers[wait] = future
        self._send({"op": "servicex_subscribe", "wait": wait, **question})
        try:
            return await future
        except asyncio.CancelledError:
            self._send({"op": "servicex_unsubscribe", "wait": wait})
            raise
        finally:
            del self._answers[wait]

    def note(self, **what: Any) -> None:
        """Tell the scheduler that a partition was read, from any thread."""
        message = {"op": "servicex_record_read", **what}
        worker_loop(self.worker).call_soon_threadsafe(self._send, message)

    def _send(self, message: dict[str, Any]) -> None:
        stream: Any = self.worker.batched_stream
        if not stream.closed():
            stream.send(message)


class ClusterFeed:
    """The feed that the cluster's scheduler holds, as seen from a worker."""

    @classmethod
    def find(cls, worker: Worker, request_id: str, backend: str | None) -> ClusterFeed | None:
        """Find it, where the cluster was told of a backend with `register`."""
        subscriber = worker.plugins.get(PLUGIN_NAME)
        if not isinstance(subscriber, SubscriberPlugin):
            return None
        return cls(subscriber, request_id, backend)

    def __init__(self, subscriber: SubscriberPlugin, request_id: str, backend: str | None) -> None:
        self._subscriber = subscriber
        self._which = {"request_id": request_id, "backend": backend}

    async def get(
        self, number: int, npartitions: int, max_failed: float = 1.0
    ) -> ResultFile | NoFile:
        """See `servicex_layer.feeds.Feed.get`."""
        answer, near = await self._subscriber.ask(
            which=self._which, number=number, npartitions=npartitions, max_failed=max_failed
        )
        file: ResultFile | NoFile = _opened(answer)
        for other in _opened(near):
            which = (*self._which.values(), other.number, npartitions, max_failed)
            self._subscriber.remember(which, other)
        return file

    def get_nowait(
        self, number: int, npartitions: int, max_failed: float = 1.0
    ) -> ResultFile | NoFile | None:
        """See `servicex_layer.feeds.Feed.get_nowait`."""
        which = (*self._which.values(), number, npartitions, max_failed)
        return self._subscriber.known.get(which)

    async def locate(self, name: str, rejected: str | None = None) -> Location:
        """See `servicex_layer.feeds.Feed.locate`."""
        scheduler: Any = self._subscriber.worker.scheduler
        answer = await scheduler.servicex_locate(which=self._which, name=name, rejected=rejected)
        location: Location = _opened(answer)
        return location

    def locate_nowait(self, file: ResultFile, rejected: str | None = None) -> Location | None:
        """See `servicex_layer.feeds.Feed.locate_nowait`."""
        del rejected
        return Location("", path=file.name) if file.volume else None

    def note(self, number: int, received: int) -> None:
        """Note that a partition was read; see `servicex_layer.read_progress.ReadProgress.note`."""
        self._subscriber.note(which=self._which, number=number, received=received)

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """See `servicex_layer.feeds.Feed.submit`."""
        return asyncio.run_coroutine_threadsafe(coroutine, worker_loop(self._subscriber.worker))


def _opened(answer: bytes) -> Any:
    # Pickled by hand: what Dask would leave as it is between threads of one process, it
    # serializes between processes.
    content = pickle.loads(answer)  # noqa: S301  (from this cluster's own scheduler)
    if isinstance(content, Exception):
        raise content
    return content
