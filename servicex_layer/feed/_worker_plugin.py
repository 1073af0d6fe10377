"""The worker's half of a cluster's feeds."""

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

# How many files a worker remembers: about 30 MB.
_REMEMBERED = 50_000

PLUGIN_NAME = "servicex-layer"


def this_worker() -> Worker | None:
    """Return the Dask worker that the calling task runs on; ``None`` elsewhere."""
    try:
        return distributed.get_worker()
    except ValueError:
        return None


class SubscriberPlugin(WorkerPlugin):
    """Asks the scheduler for files, by number, for all tasks of a worker."""

    name = PLUGIN_NAME
    worker: Worker
    known: dict[tuple[Any, ...], ResultFile | NoFile]
    """Files that will not change any more, by the question that they answer."""
    _answers: dict[int, asyncio.Future[tuple[bytes, bytes]]]
    _wait_ids: itertools.count[int]

    def setup(self, worker: Worker) -> None:
        """See `distributed.WorkerPlugin.setup`."""
        self.worker = worker
        self.known = {}
        self._answers = {}
        self._wait_ids = itertools.count()
        worker.stream_handlers["servicex_answer"] = self.servicex_answer

    def teardown(self, worker: Worker) -> None:
        """See `distributed.WorkerPlugin.teardown`."""
        del worker
        for answer in self._answers.values():
            answer.cancel()

    def servicex_answer(self, wait: int, answer: bytes, batch: bytes) -> None:
        """Take an answer of the scheduler."""
        future = self._answers.get(wait)
        if future is not None and not future.done():
            future.set_result((answer, batch))

    def remember(self, question: tuple[Any, ...], file: ResultFile | NoFile) -> None:
        """Keep an answer; the oldest ones are dropped, and asked for again."""
        self.known[question] = file
        while len(self.known) > _REMEMBERED:
            del self.known[next(iter(self.known))]

    async def subscribe(self, **question: Any) -> tuple[bytes, bytes]:
        """Ask the scheduler for a file and wait for the answer."""
        wait = next(self._wait_ids)
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

    def record_read(self, **read: Any) -> None:
        """Report to the scheduler that a partition was read; from any thread."""
        message = {"op": "servicex_record_read", **read}
        worker_loop(self.worker).call_soon_threadsafe(self._send, message)

    def _send(self, message: dict[str, Any]) -> None:
        stream: Any = self.worker.batched_stream
        if not stream.closed():
            stream.send(message)


class ClusterFeed:
    """The feed of a request on the cluster's scheduler, as a worker sees it.

    Parameters
    ----------
    subscriber : SubscriberPlugin
        The worker's plugin.
    request_id : str
        The request.
    backend : str or None
        The backend's name in ``servicex.yaml``; ``None`` for the default.
    """

    @classmethod
    def on(cls, worker: Worker, request_id: str, backend: str | None) -> ClusterFeed | None:
        """Return the feed for tasks on a worker; ``None`` if its cluster was never registered."""
        subscriber = worker.plugins.get(PLUGIN_NAME)
        if not isinstance(subscriber, SubscriberPlugin):
            return None
        return cls(subscriber, request_id, backend)

    def __init__(self, subscriber: SubscriberPlugin, request_id: str, backend: str | None) -> None:
        self._subscriber = subscriber
        self._request = {"request_id": request_id, "backend": backend}

    async def get(
        self, number: int, npartitions: int, max_failed: float = 1.0
    ) -> ResultFile | NoFile:
        """See `Feed.get`."""
        answer, batch = await self._subscriber.subscribe(
            request=self._request, number=number, npartitions=npartitions, max_failed=max_failed
        )
        file: ResultFile | NoFile = _load(answer)
        for other in _load(batch):
            question = (*self._request.values(), other.number, npartitions, max_failed)
            self._subscriber.remember(question, other)
        return file

    def get_nowait(
        self, number: int, npartitions: int, max_failed: float = 1.0
    ) -> ResultFile | NoFile | None:
        """See `Feed.get_nowait`."""
        question = (*self._request.values(), number, npartitions, max_failed)
        return self._subscriber.known.get(question)

    async def locate(self, name: str, rejected: str | None = None) -> Location:
        """See `Feed.locate`."""
        scheduler: Any = self._subscriber.worker.scheduler
        location: Location = _load(
            await scheduler.servicex_locate(request=self._request, name=name, rejected=rejected)
        )
        return location

    def locate_nowait(self, file: ResultFile, rejected: str | None = None) -> Location | None:
        """See `Feed.locate_nowait`."""
        del rejected
        return Location("", path=file.name) if file.volume else None

    def record_read(self, number: int, received: int) -> None:
        """See `Feed.record_read`."""
        self._subscriber.record_read(request=self._request, number=number, received=received)

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """See `Feed.submit`."""
        return asyncio.run_coroutine_threadsafe(coroutine, worker_loop(self._subscriber.worker))


def _load(answer: bytes) -> Any:
    # Pickled by hand: Dask serializes between processes what it hands over as it is between threads
    # of one process.
    content = pickle.loads(answer)  # noqa: S301  (from this cluster's own scheduler)
    if isinstance(content, Exception):
        raise content
    return content
