"""Asks the parent process for files, in processes that share its session."""

from __future__ import annotations

import multiprocessing
import os
import threading
from multiprocessing.connection import Client
from typing import Any

from servicex_layer.errors import ServiceXLayerError
from servicex_layer.feed._loop_thread import loop_thread
from servicex_layer.feed._request import RequestAddress
from servicex_layer.feed._subscriber import RemoteFeed, Subscriber

__all__ = ["feed_of_parent"]


def feed_of_parent(request: RequestAddress) -> RemoteFeed | None:
    """Return the feed of a request in the parent process.

    ``None`` if this process has no parent that pickled `request`: it is a session of its own.

    Raises
    ------
    ServiceXLayerError
        If the parent doesn't answer.
    """
    parent = multiprocessing.parent_process()
    if parent is None or request.parent is None or request.parent[0] != parent.pid:
        return None
    subscriber = _connection_to(request.parent[1]).subscriber
    return RemoteFeed(
        subscriber, request.request_id, request.backend, request.known, loop_thread().submit
    )


class _ParentConnection:
    def __init__(self, address: Any) -> None:
        authkey = multiprocessing.current_process().authkey
        try:
            self._connection = Client(address, authkey=bytes(authkey))
        except (OSError, EOFError, multiprocessing.AuthenticationError) as error:
            raise ServiceXLayerError(
                f"The parent process does not answer ({error!r}); it holds the list of finished "
                "files. Has it ended?"
            ) from error
        self.pid = os.getpid()
        self.is_open = True
        self.subscriber = Subscriber(self._send, lambda: self.is_open)
        self._lock = threading.Lock()
        threading.Thread(target=self._receive, name="servicex-parent", daemon=True).start()

    def _send(self, message: dict[str, Any]) -> None:
        try:
            with self._lock:
                self._connection.send(message)
        except OSError:
            self.is_open = False

    def _receive(self) -> None:
        try:
            while True:
                message = self._connection.recv()
                self.subscriber.answer(message["wait"], message["answer"], message["batch"])
        except (EOFError, OSError):
            self.is_open = False


_connections: dict[Any, _ParentConnection] = {}
_lock = threading.Lock()


def _connection_to(address: Any) -> _ParentConnection:
    with _lock:
        connection = _connections.get(address)
        if connection is None or not connection.is_open or connection.pid != os.getpid():
            connection = _connections[address] = _ParentConnection(address)
        return connection
