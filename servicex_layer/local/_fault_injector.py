"""Makes the faults of calls happen, as ASGI middleware."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from servicex_layer.local._http_fault import HttpFault
from servicex_layer.local._middleware import EXTENSION


class FaultInjector:
    """The faults that happen at present, and how many calls each could have matched.

    Parameters
    ----------
    faults
        The faults, in order of precedence.
    seed
        Seed of the faults that match a fraction of the calls.
    """

    faults: tuple[HttpFault, ...]
    _by_route: dict[str, list[_CountedFault]]

    def __init__(self, faults: Iterable[HttpFault], seed: int) -> None:
        self._seed = seed
        self.replace(faults)

    def replace(self, faults: Iterable[HttpFault]) -> None:
        """Replace all faults, and count calls from zero."""
        self.faults = tuple(faults)
        by_route: dict[str, list[_CountedFault]] = defaultdict(list)
        for fault in self.faults:
            place = len(by_route[fault.route])
            by_route[fault.route].append(
                _CountedFault(fault, f"{self._seed}:{fault.route}:{place}")
            )
        self._by_route = by_route

    def matching(self, route: str, path: str) -> Iterator[HttpFault]:
        """Yield the faults that match a call, in order of precedence."""
        for counted in self._by_route.get(route, ()):
            if counted.matches(path):
                yield counted.fault


@dataclass
class _CountedFault:
    fault: HttpFault
    seed: str
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def matches(self, path: str) -> bool:
        if not path.endswith(self.fault.ending):
            return False
        return self.fault.matches(seed=self.seed, number=next(self.numbers))


@dataclass(frozen=True)
class FaultMiddleware:
    """Makes faults happen to the calls of the application that it wraps."""

    app: ASGIApp
    injector: FaultInjector

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a call on, unless a fault matches it."""
        route = scope["extensions"][EXTENSION]["route"]
        for fault in self.injector.matching(route, scope["path"]):
            if fault.delay:
                receive = await _delayed(fault.delay, receive)
            if not fault.only_delays:
                await self._answer(fault, scope, receive, send)
                return
        await self.app(scope, receive, send)

    async def _answer(self, fault: HttpFault, scope: Scope, receive: Receive, send: Send) -> None:
        app = self.app if fault.status is None else _error_response(fault.status, fault.retry_after)
        if fault.cut is not None:
            send = _cutting(fault.cut, scope, send)
        with contextlib.suppress(_CutError):
            await app(scope, receive, send)


class _CutError(Exception):
    """The connection is closed: the rest of the answer can't be sent."""


def _cutting(length: int, scope: Scope, send: Send) -> Send:
    left = length

    async def send_cut(message: Message) -> None:
        nonlocal left
        body = message.get("body", b"")
        if len(body) <= left:
            left -= len(body)
            await send(message)
            return
        await send({**message, "body": body[:left], "more_body": True})
        await scope["extensions"][EXTENSION]["hang_up"]()
        raise _CutError

    return send_cut


def _error_response(status: int, retry_after: int | str | None) -> Response:
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return JSONResponse({"message": "made to fail"}, status, headers)


async def _delayed(seconds: float, receive: Receive) -> Receive:
    """Wait, unless the client disconnects, and return a way to receive what came meanwhile."""
    received: list[Message] = []

    async def receive_until_disconnect() -> None:
        while not received or received[-1]["type"] != "http.disconnect":
            received.append(await receive())

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await receive_until_disconnect()

    async def receive_again() -> Message:
        return received.pop(0) if received else await receive()

    return receive_again
