"""The client's half of a cluster's feeds: shares this session's order with the cluster."""

from __future__ import annotations

import threading
from typing import Any
from weakref import WeakKeyDictionary

import distributed
from distributed import Client

from servicex_layer.feed._loop_thread import loop_thread
from servicex_layer.feed._order import DIGEST_SIZE, SESSION
from servicex_layer.feed._subscriber import RemoteFeed, Subscriber

__all__ = ["ClientSide", "active_client", "add_cluster", "clusters"]


def active_client() -> Client | None:
    """Return the active Dask client; ``None`` if there is none."""
    try:
        client: Client = distributed.default_client()  # type: ignore[no-untyped-call]
    except ValueError:
        return None
    return client


class ClientSide:
    """What this session has sent to and learned from the cluster of a client.

    Parameters
    ----------
    client : distributed.Client
        The client; of a registered cluster.
    """

    urls: set[str]
    """The backends that the cluster knows."""

    def __init__(self, client: Client) -> None:
        self.urls = set()
        self._client = client
        self._source = f"the cluster at {_address(client)}"
        self._lock = threading.Lock()
        # How many files' digests both sides have, by backend and request.
        self._shared: dict[tuple[str, str], int] = {}
        self._stream: Any = None
        self._subscriber = Subscriber(self._send, lambda: self.is_running)
        handlers = _stream_handlers(client)
        handlers["servicex_answer"] = self._subscriber.answer
        handlers["servicex_order"] = self._receive_order

    @property
    def is_running(self) -> bool:
        """Whether the client is connected."""
        return bool(self._client.status == "running")

    def join(self, url: str, request_id: str) -> None:
        """Share this session's order of a request, before a graph or a question is sent.

        Raises
        ------
        CompletionOrderError
            If two computations of this session have numbered its files differently.
        """
        key = url, request_id
        order = SESSION.get(*key)
        with self._lock:
            # After a lost connection the scheduler knows this client no more.
            stream = _stream_to_scheduler(self._client)
            if stream is not self._stream:
                self._stream = stream
                self._shared.clear()
            start = self._shared.get(key)
            if start is not None and start * DIGEST_SIZE >= len(order):
                return
            self._shared[key] = len(order) // DIGEST_SIZE
        self._send(
            {
                "op": "servicex_join",
                "request": {"request_id": request_id, "backend": url},
                "start": start or 0,
                "order": order[(start or 0) * DIGEST_SIZE :],
            }
        )

    def feed(self, url: str, request_id: str) -> RemoteFeed:
        """Return the cluster's feed of a request, for tasks of a local scheduler."""
        self.join(url, request_id)
        known = SESSION.summary(url, request_id)
        return RemoteFeed(self._subscriber, request_id, url, known, loop_thread().submit)

    def _receive_order(self, url: str, request_id: str, start: int, order: bytes) -> None:
        with self._lock:
            shared = self._shared.get((url, request_id), 0)
            self._shared[url, request_id] = max(shared, start + len(order) // DIGEST_SIZE)
        SESSION.extend(url, request_id, start, order, self._source)

    def _send(self, message: dict[str, Any]) -> None:
        _send_to_scheduler(self._client, message)


_clusters: WeakKeyDictionary[Client, ClientSide] = WeakKeyDictionary()
_clusters_lock = threading.Lock()


def add_cluster(client: Client, url: str) -> None:
    """Note that the cluster of a client knows a backend."""
    with _clusters_lock:
        side = _clusters.get(client)
        if side is None:
            side = _clusters[client] = ClientSide(client)
        side.urls.add(url)


def clusters() -> dict[Client, ClientSide]:
    """Return the registered clusters whose client is connected."""
    with _clusters_lock:
        return {client: side for client, side in _clusters.items() if side.is_running}


def _address(client: Client) -> str:
    scheduler: Any = client.scheduler
    return str(scheduler.address)


def _stream_handlers(client: Client) -> dict[str, Any]:
    """Return what a client calls for each message on its stream from the scheduler.

    Private, but the only ordered way from a scheduler to a client: the order of a request must be
    here before the news that a task has finished.
    """
    handlers: dict[str, Any] = client._stream_handlers
    return handlers


def _stream_to_scheduler(client: Client) -> object:
    """Return a client's stream to the scheduler: another object after it has reconnected.

    ``Client.scheduler_comm`` is not documented.
    """
    stream: object = client.scheduler_comm
    return stream


def _send_to_scheduler(client: Client, message: dict[str, Any]) -> None:
    """Send a message over the stream that a client's graphs go over, and ahead of the next one.

    Private, but what distributed's own queues and variables use.
    """
    client._send_to_scheduler(message)  # type: ignore[no-untyped-call]
