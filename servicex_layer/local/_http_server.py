"""Uvicorn in a thread: listens, hangs up, goes away for a while, stops at once."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import os
import socket
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import uvicorn
from starlette.types import ASGIApp

from servicex_layer.errors import InvalidArgumentError

HOST = "127.0.0.1"

_T = TypeVar("_T")


class HttpServer:
    """An HTTP server in a thread of its own, with a task beside it in the same event loop.

    Parameters
    ----------
    name
        The name of the thread.
    listener
        The socket at which to listen. The server closes it.
    """

    def __init__(self, name: str, listener: socket.socket) -> None:
        self._name = name
        self._listener = listener
        self._server: _UvicornServer

    def start(self, app: ASGIApp, beside: Coroutine[Any, Any, None]) -> None:
        """Start the thread. The server ends when the coroutine `beside` does, and the reverse."""
        config = uvicorn.Config(
            app,
            lifespan="off",
            ws="none",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            date_header=False,  # the application sets it, by the server's clock
            timeout_keep_alive=75,
            timeout_graceful_shutdown=1,
        )
        self._server = _UvicornServer(config)
        self._thread = threading.Thread(
            target=_run, args=(self._serve(beside),), name=self._name, daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop without waiting for clients. Returns when the thread has ended."""
        self._server.should_exit = True
        self._thread.join()

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine in the server's event loop, and return its result."""
        loop = self._server.loop.result(timeout=60)
        return asyncio.run_coroutine_threadsafe(work, loop).result()

    def go_away(self) -> None:
        """Cut all connections and stop listening."""
        self.run(self._server.go_away())

    def come_back(self) -> None:
        """Listen at the same port again.

        Raises
        ------
        InvalidArgumentError
            If another program has taken the port meanwhile.
        """
        self.run(self._server.come_back())

    def hang_up(self, client: tuple[str, int]) -> None:
        """Close the connection of a client, once everything written is sent."""
        self._server.hang_up(client)

    async def _serve(self, beside: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(beside)
        # if the task fails, no request would ever end: clients see a server that is gone instead
        task.add_done_callback(lambda _: setattr(self._server, "should_exit", True))
        try:
            await self._server.serve(sockets=[self._listener])
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


class _UvicornServer(uvicorn.Server):
    """Uvicorn's server, with control over its connections.

    Uvicorn documents neither `startup`, `shutdown`, `servers` nor `server_state`. The tests of
    `HttpServer` fail if they change.
    """

    loop: concurrent.futures.Future[asyncio.AbstractEventLoop]
    """The event loop, once the server listens."""
    _port: int

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.loop = concurrent.futures.Future()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.loop.done():
            self.loop.set_result(asyncio.get_running_loop())

    async def go_away(self) -> None:
        self._port = self.servers[0].sockets[0].getsockname()[1]
        for server in self.servers:
            server.close()
        await self._cut_connections()

    async def come_back(self) -> None:
        await self.startup(sockets=[listen(self._port)])

    def hang_up(self, client: tuple[str, int]) -> None:
        for connection in self.server_state.connections:
            if connection.transport.get_extra_info("peername") == client:
                connection.transport.close()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # a client that doesn't read its file would hold up the end
        await self._cut_connections()
        await super().shutdown(sockets)

    async def _cut_connections(self) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)


def _run(main: Coroutine[Any, Any, None]) -> None:
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if sys.platform == "win32":
        # only this loop can start processes, and libraries set a policy of another
        loop_factory = asyncio.ProactorEventLoop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main)


def listen(port: int) -> socket.socket:
    """Return a socket that listens at a port of this machine; 0 is any free port.

    Raises
    ------
    InvalidArgumentError
        If the port can't be used.
    """
    # asyncio turns Nagle's algorithm off only for sockets that name their protocol; left on, it
    # costs 40 ms for each range of bytes
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":  # on Windows, a second server could take the port with this option
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise InvalidArgumentError(
            f"port {port} of {HOST} cannot be used: {error.strerror}; "
            "choose another one, or 0 for any that is free"
        ) from error
    return listener
