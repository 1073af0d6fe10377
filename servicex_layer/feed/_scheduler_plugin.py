"""One feed for a Dask cluster: the scheduler's half of a small protocol, and the worker's.

The scheduler's half, `FeedsPlugin`, holds the feeds and the credentials. Each worker process has
the other half, `SubscriberPlugin`: it asks for files by number over the worker's own stream to
the scheduler, and is told over it. So no worker talks to the backend, and no connection is
added.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import pickle
from typing import Any

from distributed import Scheduler, SchedulerPlugin

from servicex_layer._config import Polling
from servicex_layer._model import FILE_LAYER, Backend, NoFile, ResultFile
from servicex_layer.backend import RestClient
from servicex_layer.errors import (
    ConfigError,
    FailedFilesWarning,
    ServiceXLayerError,
)
from servicex_layer.feed._feed import BATCH, CompletionFeed
from servicex_layer.feed._worker_plugin import PLUGIN_NAME, SubscriberPlugin

__all__ = ["FeedsPlugin"]

logger = logging.getLogger(__name__)


class FeedsPlugin(SchedulerPlugin):
    """The scheduler's half: the feeds of all requests, and who waits for which file."""

    name = PLUGIN_NAME
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
            comm=None, plugin=pickle.dumps(SubscriberPlugin()), name=PLUGIN_NAME, idempotent=True
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
