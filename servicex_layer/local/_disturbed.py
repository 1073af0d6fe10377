"""Lets faults between a client and the server happen."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from servicex_layer.local._http_faults import HttpFault

HangUp = Callable[[tuple[str, int]], None]
"""Closes the connection of a client, given its address, once all is sent that was written."""


class Disturbances:
    """The faults that befall calls at present.

    Parameters
    ----------
    seed
        Decides which calls, where it is left to chance.
    """

    faults: tuple[HttpFault, ...]
    _counted: dict[str, list[_Counted]]

    def __init__(self, faults: Iterable[HttpFault], seed: int) -> None:
        self._seed = seed
        self.replace(faults)

    def replace(self, faults: Iterable[HttpFault]) -> None:
        """Have other faults from now on; their calls are counted from now on."""
        self.faults = tuple(faults)
        counted: dict[str, list[_Counted]] = defaultdict(list)
        for fault in self.faults:
            place = len(counted[fault.route])
            counted[fault.route].append(_Counted(fault, f"{self._seed}:{fault.route}:{place}"))
        self._counted = counted

    def befalling(self, route: str, scope: Scope) -> Iterator[HttpFault]:
        """Give, in order, the faults that befall a call of a route."""
        for counted in self._counted.get(route, ()):
            if counted.befalls(scope):
                yield counted.fault


class Disturbed:
    """Lets faults befall the calls of a route."""

    def __init__(
        self, app: ASGIApp, route: str, disturbances: Disturbances, hang_up: HangUp
    ) -> None:
        self._app = app
        self._route = route
        self._disturbances = disturbances
        self._hang_up = hang_up

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a call on, for better or worse."""
        for fault in self._disturbances.befalling(self._route, scope):
            if fault.delay:
                receive = await _wait(fault.delay, receive)
            if not fault.only_delays:
                await self._let_happen(fault, scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _let_happen(
        self, fault: HttpFault, scope: Scope, receive: Receive, send: Send
    ) -> None:
        if fault.hang_up:
            await self._hang_up_on(scope, receive)
            return
        app = _answer(fault) if fault.replaces_answer else self._app
        if fault.without is not None:
            app = _Without(app, fault.without)
        if fault.ranges:
            scope = _with_other_range(scope, fault)
        if fault.disturbs_body:
            send = self._disturb(fault, scope, receive, send)
        with contextlib.suppress(_EnoughError):
            await app(scope, receive, send)

    def _disturb(self, fault: HttpFault, scope: Scope, receive: Receive, send: Send) -> Send:
        """Send another number of bytes than announced; what is enough raises `_EnoughError`."""
        left = 0
        short = False

        async def send_disturbed(message: Message) -> None:
            nonlocal left, short
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                length = int(headers["content-length"])
                announced = max(length + fault.wrong_length, 0)
                cut = length if fault.cut is None else fault.cut
                left = min(length, announced, cut)
                short = left < announced and scope["method"] != "HEAD"
                headers["content-length"] = str(announced)
                await send(message)
                return
            body = message["body"][:left]
            left -= len(body)
            more = left > 0 and message.get("more_body", False)
            await send({**message, "body": body, "more_body": more or short})
            if more:
                return
            if short:
                await self._hang_up_on(scope, receive)
            raise _EnoughError

        return send_disturbed

    async def _hang_up_on(self, scope: Scope, receive: Receive) -> None:
        self._hang_up(scope["client"])
        while (await receive())["type"] != "http.disconnect":
            pass


@dataclass
class _Counted:
    """A fault, and the calls that it could have befallen."""

    fault: HttpFault
    seed: str
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    times: deque[float] = field(default_factory=deque)
    """When the calls of the last second were let through."""

    def befalls(self, scope: Scope) -> bool:
        if not scope["path"].endswith(self.fault.ending):
            return False
        now = time.monotonic()
        while self.times and self.times[0] <= now - 1:
            self.times.popleft()
        rate = len(self.times) + 1
        befalls = self.fault.befalls(seed=self.seed, number=next(self.numbers), rate=rate)
        if not befalls:
            self.times.append(now)
        return befalls


@dataclass(frozen=True)
class _Without:
    """Leaves a key out of JSON, wherever it is."""

    app: ASGIApp
    key: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start: Message = {}
        body = b""

        async def collect(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                start = message
            else:
                body += message["body"]

        await self.app(scope, receive, collect)
        changed = json.dumps(self._left(json.loads(body))).encode()
        MutableHeaders(scope=start)["content-length"] = str(len(changed))
        await send(start)
        await send({"type": "http.response.body", "body": changed})

    def _left(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._left(one) for key, one in value.items() if key != self.key}
        return [self._left(one) for one in value] if isinstance(value, list) else value


class _EnoughError(Exception):
    """Nothing of the answer is wanted any more."""


def _answer(fault: HttpFault) -> Response:
    body = json.dumps({"message": "made to fail"}) if fault.body is None else fault.body
    # the class would add a charset to texts
    headers = {"Content-Type": fault.content_type}
    status = fault.status or 200
    if fault.redirect is not None:
        headers["Location"] = fault.redirect
        status = fault.status or 307
    if fault.retry_after is not None:
        headers["Retry-After"] = str(fault.retry_after)
    return Response(body, status, headers)


async def _wait(seconds: float, receive: Receive) -> Receive:
    """Wait, though not for a client that is gone; what came meanwhile is received again."""
    received: list[Message] = []

    async def listen() -> None:
        while not received or received[-1]["type"] != "http.disconnect":
            received.append(await receive())

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await listen()

    async def receive_again() -> Message:
        return received.pop(0) if received else await receive()

    return receive_again


def _with_other_range(scope: Scope, fault: HttpFault) -> Scope:
    scope = {**scope, "headers": list(scope["headers"])}
    headers = MutableHeaders(scope=scope)
    asked = headers.get("range")
    if asked is not None:
        del headers["range"]
        if fault.ranges == "shifted":
            headers["range"] = re.sub(r"(\d*)-(\d*)", _shift, asked)
    return scope


def _shift(asked: re.Match[str]) -> str:
    first, last = asked.groups()
    if not first:
        return f"-{int(last) + 1}"
    step = -1 if int(first) else 1
    return f"{int(first) + step}-{int(last) + step if last else ''}"
