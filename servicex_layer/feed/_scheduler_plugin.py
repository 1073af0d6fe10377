"""The scheduler's half of a cluster's feeds: holds them, and answers workers and clients.

Workers ask for files over the streams that they have with the scheduler anyway. So only the
scheduler talks to the backend, and only it holds credentials.
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
from servicex_layer.errors import ConfigError, ServiceXLayerError, ServiceXLayerWarning
from servicex_layer.feed._feed import BATCH, RequestFeed
from servicex_layer.feed._worker_plugin import PLUGIN_NAME, SubscriberPlugin

__all__ = ["FeedsPlugin"]

logger = logging.getLogger(__name__)


class FeedsPlugin(SchedulerPlugin):
    """Holds the feeds of all requests, and the workers' waits for their files."""

    name = PLUGIN_NAME
    idempotent = True
    _scheduler: Scheduler
    _polling: Polling
    _urls: dict[str | None, str]
    """Of the backends, by the names that clients use for them; ``None`` for the default."""
    _rests: dict[str, RestClient]
    _feeds: dict[tuple[str, str], RequestFeed]
    _waits: dict[tuple[str, int], asyncio.Task[None]]
    _sent_batches: dict[str, set[tuple[Any, ...]]]

    def __init__(self) -> None:
        self._urls = {}
        self._rests = {}
        self._feeds = {}
        self._waits = {}
        self._sent_batches = {}

    @property
    def is_idle(self) -> bool:
        """Whether no worker waits, and no request is polled."""
        return not self._waits and not any(feed.is_polling for feed in self._feeds.values())

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
        self._sent_batches.pop(worker, None)
        for address, wait in list(self._waits):
            if address == worker:
                self.servicex_unsubscribe(worker, wait)
        _forgive_waiting_tasks(scheduler)

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
        refresh_token: str | None,
        access_token: str | None,
        polling: dict[str, Any],
    ) -> None:
        """Take the credentials of a backend and how to poll it, from a client."""
        backend = Backend(name, url, refresh_token)
        self._polling = Polling(**polling)
        self._urls[alias] = url
        if url not in self._rests:
            self._rests[url] = RestClient(backend, 0.0, access_token=access_token)
        self._rests[url].authorize(backend, access_token)
        for rest in self._rests.values():
            rest.configure(self._polling.retry_timeout, self._polling.timeout)
        for feed in self._feeds.values():
            feed.polling = self._polling

    def servicex_subscribe(
        self, worker: str, wait: int, request: dict[str, Any], **question: Any
    ) -> None:
        """Begin to wait for a file, for a task on a worker."""
        self._waits[worker, wait] = asyncio.create_task(
            self._answer(worker, wait, request, question)
        )

    def servicex_unsubscribe(self, worker: str, wait: int) -> None:
        """End a wait."""
        task = self._waits.pop((worker, wait), None)
        if task is not None:
            task.cancel()

    async def servicex_locate(
        self, request: dict[str, Any], name: str, rejected: str | None
    ) -> bytes:
        """Return where a file is, or an error, as a pickle."""
        try:
            location = await self._feed(**request).locate(name, rejected)
        except ServiceXLayerError as error:
            return pickle.dumps(error)
        return pickle.dumps(location)

    def servicex_record_read(
        self, worker: str, request: dict[str, Any], number: int, received: int
    ) -> None:
        """Record that a partition was read on a worker."""
        del worker
        feed = self._feeds.get((self._urls.get(request["backend"], ""), request["request_id"]))
        if feed is not None:
            feed.read_progress.record(number, received)

    async def servicex_progress(self, request: dict[str, Any], since: int) -> dict[str, Any]:
        """Return how far a request is, for a client."""
        return dataclasses.asdict(self._feed(**request).read_progress.get(since))

    async def _answer(
        self, worker: str, wait: int, request: dict[str, Any], question: dict[str, Any]
    ) -> None:
        answer: ResultFile | NoFile | Exception
        batch: list[ResultFile | NoFile] = []
        try:
            feed = self._feed(**request)
            answer = await feed.get(**question)
            batch = self._unsent_batch(worker, feed, request, question)
        except ServiceXLayerError as error:
            answer = error
        except Exception as error:
            logger.exception("Polling request %s failed", request["request_id"])
            # The worker raises it, so it must survive a pickle.
            answer = ServiceXLayerError(
                f"Polling request {request['request_id']} failed on the scheduler: {error!r}. "
                "This is an error of servicex_layer; see the scheduler's log and report it."
            )
        self._waits.pop((worker, wait), None)
        self._scheduler.worker_send(
            worker,
            {
                "op": "servicex_answer",
                "wait": wait,
                "answer": pickle.dumps(answer),
                "batch": pickle.dumps(batch),
            },
        )

    def _unsent_batch(
        self, worker: str, feed: RequestFeed, request: dict[str, Any], question: dict[str, Any]
    ) -> list[ResultFile | NoFile]:
        """Return the batch of files of a number, unless the worker has been sent it."""
        batch = {**request, **question, "number": question["number"] // BATCH}
        sent = self._sent_batches.setdefault(worker, set())
        if tuple(batch.values()) in sent:
            return []
        files = feed.resolved_batch(**question)
        if files:
            sent.add(tuple(batch.values()))
        return files

    def _feed(self, request_id: str, backend: str | None) -> RequestFeed:
        try:
            # One list for all names of a backend: else they could differ in their numbers.
            url = self._urls[backend]
        except KeyError:
            subject = "The default ServiceX backend" if backend is None else f"Backend {backend!r}"
            raise ConfigError(
                f"{subject} is not known on this Dask cluster. Make it known with "
                f"servicex_layer.register(client, {backend!r})."
            ) from None
        if (url, request_id) not in self._feeds:
            self._feeds[url, request_id] = RequestFeed(
                self._rests[url], request_id, self._polling, warn=self._warn
            )
        return self._feeds[url, request_id]

    def _warn(self, text: str, category: type[ServiceXLayerWarning]) -> None:
        # As distributed.warn does on a worker: clients make it a warning of their own.
        event = {"message": pickle.dumps(text), "category": pickle.dumps(category)}
        self._scheduler.log_event("warn", event)


def _forgive_waiting_tasks(scheduler: Scheduler) -> None:
    """Reset the count of lost workers of tasks that wait for files.

    Dask gives up a task that was on several workers when they were lost. A waiting task is on many
    for long, and can't have killed its worker. The attribute is not documented: if it goes, tasks
    that wait while workers die end as `distributed.KilledWorker`.
    """
    for task in scheduler.tasks.values():
        if task.suspicious and task.prefix.name == FILE_LAYER:
            task.suspicious = 0
