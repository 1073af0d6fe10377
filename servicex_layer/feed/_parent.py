"""Answers the child processes of this one, such as those of Dask's processes scheduler."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection, Listener
from typing import Any

from servicex_layer.feed._loop_thread import loop_thread
from servicex_layer.feed._publisher import Publisher
from servicex_layer.feed._subscriber import Feed

__all__ = ["address_for_children"]

FindFeed = Callable[[dict[str, Any]], Any]


class _ChildServer:
    """Listens where only this process's children can connect: they inherit its authkey.

    The socket is in a directory of multiprocessing's own, which only this user may enter and which
    is removed at exit; on Windows it is a named pipe.

    Parameters
    ----------
    find_feed : callable
        Returns the feed of a request.
    """

    def __init__(self, find_feed: FindFeed) -> None:
        self.pid = os.getpid()
        authkey = multiprocessing.current_process().authkey
        self._listener = Listener(backlog=64, authkey=bytes(authkey))
        self.address = self._listener.address
        self._find_feed = find_feed
        self._publisher = Publisher(find_feed, _send)
        threading.Thread(target=self._accept, name="servicex-children", daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection = self._listener.accept()
            except (multiprocessing.AuthenticationError, EOFError, ConnectionError):
                continue
            except OSError:
                return  # The listener was closed at exit.
            thread = threading.Thread(
                target=self._serve, args=(connection,), name="servicex-child", daemon=True
            )
            thread.start()

    def _serve(self, connection: Connection) -> None:
        loop = loop_thread().loop
        try:
            while True:
                loop.call_soon_threadsafe(self._handle, connection, connection.recv())
        except (EOFError, OSError):
            loop.call_soon_threadsafe(self._publisher.remove, connection)

    def _handle(self, child: Connection, message: dict[str, Any]) -> None:
        op = message.pop("op")
        if op == "servicex_subscribe":
            wait, request = message.pop("wait"), message.pop("request")
            self._publisher.get(child, wait, request, message)
        elif op == "servicex_locate":
            wait, request = message.pop("wait"), message.pop("request")
            self._publisher.locate(child, wait, request, message)
        elif op == "servicex_unsubscribe":
            self._publisher.cancel(child, message["wait"])
        else:
            feed: Feed = self._find_feed(message["request"])
            feed.record_read(message["number"], message["received"])


def _send(child: Connection, message: dict[str, Any]) -> None:
    try:
        child.send(message)
    except OSError:
        return  # The child is gone; its waits end when its connection is read.


_server: _ChildServer | None = None
_lock = threading.Lock()


def address_for_children(find_feed: FindFeed) -> tuple[int, Any]:
    """Return this process's id and the address at which it answers its children."""
    global _server  # noqa: PLW0603
    with _lock:
        # A forked child needs a server of its own.
        if _server is None or _server.pid != os.getpid():
            _server = _ChildServer(find_feed)
        return _server.pid, _server.address
