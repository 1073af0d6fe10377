"""One feed for a Dask cluster: the scheduler's half of a small protocol, and the worker's.

The scheduler's half, `FeedsPlugin`, holds the feeds and the credentials. Each worker process has
the other half, `SubscriberPlugin`: it asks for files by number over the worker's own stream to
the scheduler, and is told over it. So no worker talks to the backend, and no connection is
added.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import itertools
import logging
import pickle
import warnings
from collections.abc import Coroutine
from typing import Any, TypeVar

import distributed
from distributed import Client, Scheduler, SchedulerPlugin, Worker, WorkerPlugin

from servicex_layer._config import Polling, find_backend
from servicex_layer._model import FILE_LAYER, Backend, Location, NoFile, ResultFile
from servicex_layer.backend import RestClient, bearer_token
from servicex_layer.errors import (
    ConfigError,
    FailedFilesWarning,
    InsecureClusterWarning,
    InvalidArgumentError,
    ServiceXLayerError,
)
from servicex_layer.feed._feed import BATCH, CompletionFeed
from servicex_layer.feed._wait_on_worker import worker_loop
from servicex_layer.net import is_loopback

__all__ = ["ClusterFeed", "active_client", "register", "this_worker"]

T = TypeVar("T")

# How many files that will not change any more a worker remembers: about 30 MB.
_REMEMBERED = 50_000

logger = logging.getLogger(__name__)

_NAME = "servicex-layer"


def this_worker() -> Worker | None:
    """Tell on which Dask worker the calling task runs, if on one."""
    try:
        return distributed.get_worker()
    except ValueError:
        return None


def active_client() -> Client | None:
    """Tell which Dask client is the active one, if there is one."""
    try:
        client: Client = distributed.default_client()  # type: ignore[no-untyped-call]
    except ValueError:
        return None
    return client


def register(client: Client | None = None, backend: str | None = None) -> Any:
    """Give a Dask cluster what it needs to follow requests of a ServiceX backend.

    The scheduler gets a plugin that holds one feed per request, and the backend's endpoint and
    token: over Dask's own connection, kept in memory. Its workers, also those that join later,
    ask the scheduler. Neither needs a ``servicex.yaml``; all need this package. `from_servicex`
    calls this by itself. Calling it again renews the token and changes nothing else.

    Parameters
    ----------
    client : distributed.Client, optional
        The cluster's client; by default the active one.
    backend : str, optional
        The backend's name in ``servicex.yaml``; by default its default.

    Returns
    -------
    None
        With an asynchronous client something to await.

    Raises
    ------
    InvalidArgumentError
        Where there is no client.
    ConfigError
        Where ``servicex.yaml`` or the backend in it is not found.
    """
    found = client or active_client()
    if found is None:
        raise InvalidArgumentError(
            "There is no Dask client to register with. Make one first, as in "
            "Client(LocalCluster()), or hand it over: register(client)."
        )
    chosen = find_backend(backend)
    sync: Any = found.sync
    return sync(_register, found, chosen, Polling.configured(), is_default=backend is None)


async def _register(
    client: Client, backend: Backend, polling: Polling, *, is_default: bool
) -> None:
    given = bearer_token()
    scheduler: Any = client.scheduler
    if backend.token is not None or given is not None:
        _warn_of_readers(scheduler.address)
    await client.register_plugin(FeedsPlugin(), name=_NAME)
    for name in (backend.name, None) if is_default else (backend.name,):
        await scheduler.servicex_backend(
            alias=name,
            name=backend.name,
            url=backend.url,
            token=backend.token,
            given=given,
            polling=dataclasses.asdict(polling),
        )


_told_of_readers: set[str] = set()


def _warn_of_readers(address: str) -> None:
    """Tell once of a token that goes where others can read it: in the clear, off this machine."""
    scheme, _, place = address.partition("://")
    if scheme not in ("tcp", "ws") or is_loopback(f"http://{place}") or address in _told_of_readers:
        return
    _told_of_readers.add(address)
    warnings.warn(
        f"The token of the ServiceX backend goes to Dask's scheduler at {address} unencrypted. "
        "Give the cluster TLS: distributed.Security, or Dask's settings distributed.comm.tls and "
        "distributed.comm.require-encryption.",
        InsecureClusterWarning,
        stacklevel=2,
    )


class FeedsPlugin(SchedulerPlugin):
    """The scheduler's half: the feeds of all requests, and who waits for which file."""

    name = _NAME
    idempotent = True
    _scheduler: Scheduler
    _polling: Polling
    _urls: dict[str | None, str]
    """Of the backends, by the names that clients use for them; ``None`` for the default."""
    _rests: dict[str, RestClient]
    _feeds: dict[tuple[str, str], CompletionFeed]
    _waits: dict[tuple[str, int], asyncio.Task[None]]
    _told: dict[str, set[tuple[Any, ...]]]

    def __init__(self) -> None:
        self._urls = {}
        self._rests = {}
        self._feeds = {}
        self._waits = {}
        self._told = {}

    async def start(self, scheduler: Scheduler) -> None:
        """See `distributed.SchedulerPlugin.start`."""
        self._scheduler = scheduler
        scheduler.handlers["servicex_backend"] = self.servicex_backend
        scheduler.handlers["servicex_locate"] = self.servicex_locate
        scheduler.handlers["servicex_progress"] = self.servicex_progress
        scheduler.stream_handlers["servicex_record_read"] = self.servicex_record_read
        scheduler.stream_handlers["servicex_subscribe"] = self.servicex_subscribe
        scheduler.stream_handlers["servicex_unsubscribe"] = self.servicex_unsubscribe
        await scheduler.register_worker_plugin(
            comm=None, plugin=pickle.dumps(SubscriberPlugin()), name=_NAME, idempotent=True
        )

    def remove_worker(self, scheduler: Scheduler, worker: str, **_: Any) -> None:
        """See `distributed.SchedulerPlugin.remove_worker`."""
        self._told.pop(worker, None)
        for address, wait in list(self._waits):
            if address == worker:
                self.servicex_unsubscribe(worker, wait)
        # Dask gives up a task that was on several workers when they were lost. One that only
        # waits is on many for long, and cannot be what they were lost of.
        for task in scheduler.tasks.values():
            if task.suspicious and task.prefix.name == FILE_LAYER:
                task.suspicious = 0

    async def close(self) -> None:
        """See `distributed.SchedulerPlugin.close`."""
        waits = list(self._waits.values())
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
        for feed in self._feeds.values():
            await feed.read_progress.close()

    def servicex_backend(
        self,
        alias: str | None,
        name: str,
        url: str,
        token: str | None,
        given: str | None,
        polling: dict[str, Any],
    ) -> None:
        """Take the credentials of a backend and how to poll it, from a client."""
        backend = Backend(name, url, token)
        self._polling = Polling(**polling)
        self._urls[alias] = url
        if url not in self._rests:
            self._rests[url] = RestClient(backend, 0.0, access_token=given)
        self._rests[url].authorize(backend, given)
        for rest in self._rests.values():
            rest.configure(self._polling.retry_timeout, self._polling.timeout)
        for feed in self._feeds.values():
            feed.polling = self._polling

    def servicex_subscribe(
        self, worker: str, wait: int, which: dict[str, Any], **wanted: Any
    ) -> None:
        """Begin to wait for a file, for a task on a worker."""
        self._waits[worker, wait] = asyncio.create_task(self._tell(worker, wait, which, wanted))

    def servicex_unsubscribe(self, worker: str, wait: int) -> None:
        """End a wait that a worker has lost interest in."""
        task = self._waits.pop((worker, wait), None)
        if task is not None:
            task.cancel()

    async def servicex_locate(
        self, which: dict[str, Any], name: str, rejected: str | None
    ) -> bytes:
        """Tell a worker where a file is that it has been told of."""
        try:
            location = await self._feed(**which).locate(name, rejected)
        except ServiceXLayerError as error:
            return pickle.dumps(error)
        return pickle.dumps(location)

    def servicex_record_read(
        self, worker: str, which: dict[str, Any], number: int, received: int
    ) -> None:
        """Note that a partition was read on a worker."""
        del worker
        feed = self._feeds.get((self._urls.get(which["backend"], ""), which["request_id"]))
        if feed is not None:
            feed.read_progress.note(number, received)

    async def servicex_progress(self, which: dict[str, Any], since: int) -> dict[str, Any]:
        """Tell a client how far a request is."""
        return dataclasses.asdict(self._feed(**which).read_progress.look(since))

    async def _tell(
        self, worker: str, wait: int, which: dict[str, Any], wanted: dict[str, Any]
    ) -> None:
        answer: ResultFile | NoFile | Exception
        near: list[ResultFile | NoFile] = []
        try:
            feed = self._feed(**which)
            answer = await feed.get(**wanted)
            near = self._near(worker, feed, which, wanted)
        except ServiceXLayerError as error:
            answer = error
        except Exception as error:
            logger.exception("Following request %s failed", which["request_id"])
            # What the worker raises must survive a pickle.
            answer = ServiceXLayerError(
                f"Following request {which['request_id']} failed on the scheduler: {error!r}. "
                "See the scheduler's log; this is an error of servicex_layer."
            )
        self._waits.pop((worker, wait), None)
        self._scheduler.worker_send(
            worker,
            {
                "op": "servicex_answer",
                "wait": wait,
                "answer": pickle.dumps(answer),
                "near": pickle.dumps(near),
            },
        )

    def _near(
        self, worker: str, feed: CompletionFeed, which: dict[str, Any], wanted: dict[str, Any]
    ) -> list[ResultFile | NoFile]:
        """Give a file's neighbours to a worker that has not been told of them."""
        others = {**which, **wanted, "number": wanted["number"] // BATCH}
        told = self._told.setdefault(worker, set())
        if tuple(others.values()) in told:
            return []
        near = feed.resolved_batch(**wanted)
        if near:
            told.add(tuple(others.values()))
        return near

    def _feed(self, request_id: str, backend: str | None) -> CompletionFeed:
        try:
            # One list for all names of a backend: else they could differ in their numbers.
            url = self._urls[backend]
        except KeyError:
            named = "The default ServiceX backend" if backend is None else f"Backend {backend!r}"
            raise ConfigError(
                f"{named} is not known on this Dask cluster. Make it known with "
                f"servicex_layer.register(client, {backend!r})."
            ) from None
        if (url, request_id) not in self._feeds:
            self._feeds[url, request_id] = CompletionFeed(
                self._rests[url], request_id, self._polling, warn=self._warn
            )
        return self._feeds[url, request_id]

    def _warn(self, text: str) -> None:
        # As distributed.warn does on a worker: clients make it a warning of their own.
        event = {"message": pickle.dumps(text), "category": pickle.dumps(FailedFilesWarning)}
        self._scheduler.log_event("warn", event)


class SubscriberPlugin(WorkerPlugin):
    """The worker's half: asks the scheduler's half for files, by number."""

    name = _NAME
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
        subscriber = worker.plugins.get(_NAME)
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
