"""A TCP proxy in front of a server that delays requests and counts them and the bytes sent back."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized

from _spawn import SPAWN  # type: ignore[import-not-found]

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Traffic:
    """What went through a proxy."""

    requests: int
    received: int
    """Bytes of responses, with their headers."""


@dataclass(frozen=True)
class Proxy:
    """A proxy that runs in another process."""

    port: int
    _state: _SharedState

    @contextmanager
    def delaying(self, latency: float) -> Iterator[None]:
        """Delay each request by seconds, within this context."""
        self._state.latency.value = latency
        try:
            yield
        finally:
            self._state.latency.value = 0.0

    def take_traffic(self) -> Traffic:
        """Return the traffic since the last time."""
        traffic = Traffic(self._state.requests.value, self._state.received.value)
        self._state.requests.value = self._state.received.value = 0
        return traffic


@dataclass(frozen=True)
class _SharedState:
    """Numbers that both processes see."""

    latency: Synchronized[float]
    requests: Synchronized[int]
    received: Synchronized[int]


@contextmanager
def proxy_to(port: int) -> Iterator[Proxy]:
    """Run a proxy in front of a port of this machine."""
    pipe, remote_pipe = SPAWN.Pipe()
    state = _SharedState(SPAWN.Value("d", 0.0), SPAWN.Value("q", 0), SPAWN.Value("q", 0))
    process = SPAWN.Process(target=_run, args=(remote_pipe, port, state))
    process.start()
    try:
        yield Proxy(pipe.recv(), state)
    finally:
        process.terminate()
        process.join()


def _run(pipe: Connection, port: int, state: _SharedState) -> None:
    asyncio.run(_accept(pipe, port, state))


async def _accept(pipe: Connection, port: int, state: _SharedState) -> None:
    loop = asyncio.get_running_loop()
    with socket.create_server((HOST, 0)) as listener:
        listener.setblocking(False)
        pipe.send(listener.getsockname()[1])
        # The loop holds only weak references to tasks.
        connections = set()
        while True:
            client, _ = await loop.sock_accept(listener)
            connections.add(asyncio.ensure_future(_connect(client, port, state)))


async def _connect(client: socket.socket, port: int, state: _SharedState) -> None:
    with client, socket.socket() as server:
        for end in (client, server):
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(server, (HOST, port))
        directions = [
            asyncio.ensure_future(_forward_requests(client, server, state)),
            asyncio.ensure_future(_forward_responses(server, client, state)),
        ]
        await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        for direction in directions:
            direction.cancel()
            # A client may hang up in the middle of a body.
            with suppress(asyncio.CancelledError, ConnectionError):
                await direction


# Sockets instead of streams, which copy all bytes twice more.
async def _forward_requests(
    client: socket.socket, server: socket.socket, state: _SharedState
) -> None:
    loop = asyncio.get_running_loop()
    while chunk := await loop.sock_recv(client, 1 << 16):
        state.requests.value += chunk.count(b" HTTP/1.1\r\n")
        await asyncio.sleep(state.latency.value)
        await loop.sock_sendall(server, chunk)


async def _forward_responses(
    server: socket.socket, client: socket.socket, state: _SharedState
) -> None:
    loop = asyncio.get_running_loop()
    buffer = memoryview(bytearray(1 << 20))
    while size := await loop.sock_recv_into(server, buffer):
        state.received.value += size
        await loop.sock_sendall(client, buffer[:size])
