"""The scheduler's half of a cluster's feeds: holds them, and answers workers and clients.

Workers and clients ask over the streams that they have with the scheduler anyway. So only the
scheduler talks to the backend, and only it holds credentials.
"""

from __future__ import annotations

import asyncio
import dataclasses
import pickle
from functools import partial
from typing import Any

from distributed import Scheduler, SchedulerPlugin

from servicex_layer._config import Polling
from servicex_layer._model import FILE_LAYER, Backend
from servicex_layer.backend import RestClient
from servicex_layer.errors import ConfigError, ServiceXLayerError, ServiceXLayerWarning
from servicex_layer.feed._feed import RequestFeed
from servicex_layer.feed._order import DIGEST_SIZE, order_error, summary
from servicex_layer.feed._publisher import Publisher
from servicex_layer.feed._worker_plugin import PLUGIN_NAME, SubscriberPlugin
from servicex_layer.net import SYSTEM_CLOCK

__all__ = ["FeedsPlugin"]

Key = tuple[str, str]
"""A backend's URL and a request's id."""


class FeedsPlugin(SchedulerPlugin):
    """Holds the feeds of all requests, and the waits of workers and clients for their files."""

    name = PLUGIN_NAME
    idempotent = True
    _scheduler: Scheduler
    _polling: Polling
    _urls: dict[str | None, str]
    """Of the backends, by the last client's names for them; ``None`` for its default."""
    _rests: dict[str, RestClient]
    _feeds: dict[Key, RequestFeed]
    _orders: dict[Key, bytes]
    """Of requests whose feed was forgotten."""
    _last_used: dict[Key, float]
    _clients: dict[Key, set[str]]
    """The clients whose sessions share the order of a request."""
    _agreed: dict[Key, set[tuple[int, bytes]]]
    """What sessions knew of the order of a request when they sent a graph, if it was right."""

    def __init__(self) -> None:
        self._urls = {}
        self._rests = {}
        self._feeds = {}
        self._orders = {}
        self._last_used = {}
        self._clients = {}
        self._agreed = {}

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits, and no request is polled."""
        polls = any(feed.is_polling for feed in self._feeds.values())
        return self._publisher.is_idle and not polls

    @property
    def n_feeds(self) -> int:
        """The number of requests that are not forgotten."""
        return len(self._feeds)

    async def start(self, scheduler: Scheduler) -> None:
        """See `distributed.SchedulerPlugin.start`."""
        self._scheduler = scheduler
        self._publisher = Publisher(self._checked_feed, self._send)
        scheduler.handlers["servicex_backend"] = self.servicex_backend
        scheduler.handlers["servicex_progress"] = self.servicex_progress
        streams = scheduler.stream_handlers
        streams["servicex_join"] = self.servicex_join
        streams["servicex_locate"] = self.servicex_locate
        streams["servicex_record_read"] = self.servicex_record_read
        streams["servicex_subscribe"] = self.servicex_subscribe
        streams["servicex_unsubscribe"] = self.servicex_unsubscribe
        await scheduler.register_worker_plugin(
            comm=None, plugin=pickle.dumps(SubscriberPlugin()), name=PLUGIN_NAME, idempotent=True
        )
        self._forgetting = asyncio.create_task(self._forget_idle(), name="forget idle requests")

    def remove_worker(self, scheduler: Scheduler, worker: str, **_: Any) -> None:
        """See `distributed.SchedulerPlugin.remove_worker`."""
        self._publisher.remove(worker)
        _forgive_waiting_tasks(scheduler)

    def remove_client(self, scheduler: Scheduler, client: str) -> None:
        """See `distributed.SchedulerPlugin.remove_client`."""
        del scheduler
        self._publisher.remove(client)
        for key, clients in list(self._clients.items()):
            clients.discard(client)
            if not clients:
                del self._clients[key]
                self._orders.pop(key, None)

    async def close(self) -> None:
        """See `distributed.SchedulerPlugin.close`."""
        self._forgetting.cancel()
        await self._publisher.close()
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

    def servicex_join(self, client: str, request: dict[str, Any], start: int, order: bytes) -> None:
        """Let a client's session share the order of a request; `order` is its part from `start`.

        If the session's order contradicts the list, its tasks get an error: their questions hold
        a summary of the session's order.
        """
        try:
            feed = self._feed(request)
        except ServiceXLayerError:
            return  # The tasks get the error.
        if len(feed.order) < start * DIGEST_SIZE:
            return
        begin = feed.order[: start * DIGEST_SIZE]
        if not feed.extend_order(begin + order):
            return
        self._clients.setdefault(self._key(request), set()).add(client)
        known = start + len(order) // DIGEST_SIZE
        self._send_order(client, self._key(request), known, feed.order[known * DIGEST_SIZE :])

    def servicex_subscribe(
        self,
        wait: int,
        request: dict[str, Any],
        worker: str | None = None,
        client: str | None = None,
        **question: Any,
    ) -> None:
        """Begin to wait for a file, for a task on a worker or in a client's process."""
        self._publisher.get(worker or client, wait, request, question)

    def servicex_locate(
        self,
        wait: int,
        request: dict[str, Any],
        worker: str | None = None,
        client: str | None = None,
        **question: Any,
    ) -> None:
        """Send where a file is."""
        self._publisher.locate(worker or client, wait, request, question)

    def servicex_unsubscribe(
        self, wait: int, worker: str | None = None, client: str | None = None
    ) -> None:
        """End a wait."""
        self._publisher.cancel(worker or client, wait)

    def servicex_record_read(
        self,
        request: dict[str, Any],
        number: int,
        received: int,
        worker: str | None = None,
        client: str | None = None,
    ) -> None:
        """Record that a partition was read."""
        del worker, client
        feed = self._feeds.get(self._key(request))
        if feed is not None:
            feed.read_progress.record(number, received)

    async def servicex_progress(self, request: dict[str, Any], since: int) -> dict[str, Any]:
        """Return how far a request is, for a client."""
        return dataclasses.asdict(self._feed(request).read_progress.get(since))

    def _send(self, peer: str, message: dict[str, Any]) -> None:
        if not _send_to_client(self._scheduler, peer, message):
            self._scheduler.worker_send(peer, message)

    def _send_order(self, client: str, key: Key, start: int, order: bytes) -> None:
        url, request_id = key
        growth = {"url": url, "request_id": request_id, "start": start, "order": order}
        _send_to_client(self._scheduler, client, {"op": "servicex_order", **growth})

    def _hand_on_order(self, key: Key, start: int, order: bytes) -> None:
        # Over the stream that tells a client later that a task has finished: a client knows the
        # number behind each result that it sees.
        for client in self._clients.get(key, ()):
            self._send_order(client, key, start, order)

    def _key(self, request: dict[str, Any]) -> Key:
        backend = request["backend"]
        return self._urls.get(backend, backend or ""), request["request_id"]

    def _checked_feed(self, request: dict[str, Any]) -> RequestFeed:
        """Return a feed if its order is that of the session that asks."""
        feed, key = self._feed(request), self._key(request)
        count, checksum, source = request["known"]
        agreed = self._agreed.setdefault(key, set())
        if count and (count, checksum) not in agreed:
            order = feed.order
            beginning = order[: count * DIGEST_SIZE]
            if summary(beginning) != (count, checksum):
                here = f"the cluster at {self._scheduler.address}"
                raise order_error(request["request_id"], source, here)
            agreed.add((count, checksum))
        return feed

    def _feed(self, request: dict[str, Any]) -> RequestFeed:
        key = url, request_id = self._key(request)
        if url not in self._rests:
            backend = request["backend"]
            subject = "The default ServiceX backend" if backend is None else f"Backend {backend!r}"
            raise ConfigError(
                f"{subject} is not known on this Dask cluster. Make it known with "
                f"servicex_layer.register(client, {backend!r})."
            )
        self._last_used[key] = SYSTEM_CLOCK.monotonic()
        if key not in self._feeds:
            self._feeds[key] = RequestFeed(
                self._rests[url],
                request_id,
                self._polling,
                order=self._orders.pop(key, b""),
                warn=self._warn,
                on_order=partial(self._hand_on_order, key),
            )
        return self._feeds[key]

    async def _forget_idle(self) -> None:
        """Drop the feeds that nothing has asked for a while; keep their orders."""
        while True:
            polling = getattr(self, "_polling", None)
            after = 1.0 if polling is None else polling.forget_after
            await asyncio.sleep(min(max(after / 4, 0.05), 60.0))
            now = SYSTEM_CLOCK.monotonic()
            for key, feed in list(self._feeds.items()):
                if polling is None or feed.is_polling or now - self._last_used[key] < after:
                    continue
                del self._feeds[key], self._last_used[key]
                self._agreed.pop(key, None)
                self._publisher.forget(key[1])
                if self._clients.get(key):
                    self._orders[key] = feed.order

    def _warn(self, text: str, category: type[ServiceXLayerWarning]) -> None:
        # As distributed.warn does on a worker: clients make it a warning of their own.
        event = {"message": pickle.dumps(text), "category": pickle.dumps(category)}
        self._scheduler.log_event("warn", event)


def _send_to_client(scheduler: Scheduler, client: str, message: dict[str, Any]) -> bool:
    """Send a message to a client if its stream is open; return whether it is a client.

    ``Scheduler.client_comms`` is not documented. Dask's own ``Scheduler.client_send`` uses it but
    logs an error for a client that has just left, and doesn't show whether a peer is a client.
    """
    stream = scheduler.client_comms.get(client)
    if stream is not None and not stream.closed():
        stream.send(message)
    return stream is not None


def _forgive_waiting_tasks(scheduler: Scheduler) -> None:
    """Reset the count of lost workers of tasks that wait for files.

    Dask gives up a task that was on several workers when they were lost. A waiting task is on many
    for long, and can't have killed its worker. The attribute is not documented: if it goes, tasks
    that wait while workers die end as `distributed.KilledWorker`.
    """
    for task in scheduler.tasks.values():
        if task.suspicious and task.prefix.name == FILE_LAYER:
            task.suspicious = 0
