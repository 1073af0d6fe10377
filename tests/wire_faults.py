"""Faults of single calls that only tests need: broken bodies, wrong ranges, missing keys.

`WireFaults` is the middleware of a `LocalServiceX`; its `inject` makes faults happen for a while.
What happens to a call is an effect: a small class that answers the call instead of the server, or
changes what the server sends.
"""

from __future__ import annotations

# ruff: noqa: ARG002 - every effect has the signature of `Effect`
import contextlib
import json
import random
import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Effect(Protocol):
    """An effect of a fault on a call."""

    async def __call__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a call, with or without the application."""


@dataclass(kw_only=True)
class WireFault:
    """An effect and the calls of one route to which it happens.

    By default all of them. ``skip`` leaves the first so many alone, ``first`` and ``every`` select
    by number, ``fraction`` at random, ``above`` those beyond a rate per second, ``ending`` by the
    end of the path. Only the first fault that matches a call happens; those after it don't count
    the call.
    """

    route: str
    effect: Effect
    skip: int = 0
    first: int | None = None
    every: int | None = None
    fraction: float | None = None
    above: float | None = None
    ending: str = ""
    _number: int = field(default=0, init=False)
    _passed: deque[float] = field(default_factory=deque, init=False)

    def matches(self, scope: Scope) -> bool:
        """Count a call, and return whether the effect happens to it."""
        if route_of(scope) != self.route or not scope["path"].endswith(self.ending):
            return False
        self._number += 1
        number = self._number - self.skip
        if number <= 0:
            return False
        if self.first is not None:
            return number <= self.first
        if self.every is not None:
            return number % self.every == 0
        if self.fraction is not None:
            return random.Random(f"{self.route}:{self.effect}:{number}").random() < self.fraction
        return self.above is None or self._exceeds(self.above)

    def _exceeds(self, rate: float) -> bool:
        now = time.monotonic()
        while self._passed and self._passed[0] <= now - 1:
            self._passed.popleft()
        if len(self._passed) + 1 > rate:
            return True
        self._passed.append(now)
        return False


class WireFaults:
    """The faults that happen at present."""

    def __init__(self, *faults: WireFault) -> None:
        self._faults = faults

    @contextlib.contextmanager
    def inject(self, *faults: WireFault) -> Iterator[None]:
        """Make faults happen within a ``with`` statement."""
        self._faults = faults
        try:
            yield
        finally:
            self._faults = ()

    def middleware(self, app: ASGIApp) -> ASGIApp:
        """Wrap an application: the ``middleware`` of a `LocalServiceX`."""

        async def faulty(scope: Scope, receive: Receive, send: Send) -> None:
            fault = next((fault for fault in self._faults if fault.matches(scope)), None)
            if fault is None:
                await app(scope, receive, send)
            else:
                await fault.effect(app, scope, receive, send)

        return faulty


# Effects that replace the server's answer


@dataclass(frozen=True)
class Answer:
    """Answer without the server, which does not handle the call."""

    status: int = 200
    body: str = '{"message": "made to fail"}'
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()

    async def __call__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        # Response(media_type=...) would add a charset
        headers = {"Content-Type": self.content_type, **dict(self.headers)}
        await Response(self.body, self.status, headers)(scope, receive, send)


def redirect(url: str, status: int = 307) -> Answer:
    """Redirect to a URL."""
    return Answer(status, headers=(("Location", url),))


def retry_after(seconds: int, status: int = 429) -> Answer:
    """Ask for a pause."""
    return Answer(status, headers=(("Retry-After", str(seconds)),))


@dataclass(frozen=True)
class HangUp:
    """Close the connection without an answer."""

    async def __call__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        await hang_up(scope)


# Effects that change the server's answer


@dataclass(frozen=True)
class WrongLength:
    """Announce a body that is so many bytes longer than the one sent; shorter if negative."""

    difference: int

    async def __call__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        left = 0

        async def send_wrong(message: Message) -> None:
            nonlocal left
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                length = int(headers["content-length"])
                announced = max(length + self.difference, 0)
                headers["content-length"] = str(announced)
                left = min(length, announced)
                await send(message)
                return
            body = message["body"][:left]
            left -= len(body)
            if left and message.get("more_body", False):
                await send({**message, "body": body})
                return
            is_short = self.difference > 0 and scope["method"] != "HEAD"
            await send({**message, "body": body, "more_body": is_short})
            if is_short:
                await hang_up(scope)
            raise _EndOfAnswerError

        with contextlib.suppress(_EndOfAnswerError):
            await app(scope, receive, send_wrong)


@dataclass(frozen=True)
class Cut:
    """Hang up after so many bytes of the body."""

    length: int

    async def __call__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        left = self.length

        async def send_cut(message: Message) -> None:
            nonlocal left
            body = message.get("body", b"")
            if len(body) <= left:
                left -= len(body)
                await send(message)
                return
            await send({**message, "body": body[:left], "more_body": True})
            await hang_up(scope)
            raise _EndOfAnswerError

        with contextlib.suppress(_EndOfAnswerError):
            await app(scope, receive, send_cut)


@dataclass(frozen=True)
class MissingKey:
    """Remove a key from all objects of a JSON answer."""

    key: str

    async def __call__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        await _send_changed(self._without_key, app, scope, receive, send)

    def _without_key(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._without_key(item) for key, item in value.items() if key != self.key}
        return [self._without_key(item) for item in value] if isinstance(value, list) else value


@dataclass(frozen=True)
class ExtraKeys:
    """Set keys of a JSON answer."""

    values: Mapping[str, Any]

    async def __call__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        await _send_changed(lambda answer: {**answer, **self.values}, app, scope, receive, send)


async def _send_changed(
    change: Callable[[Any], Any], app: ASGIApp, scope: Scope, receive: Receive, send: Send
) -> None:
    start: Message = {}
    body = b""

    async def collect(message: Message) -> None:
        nonlocal start, body
        if message["type"] == "http.response.start":
            start = message
        else:
            body += message["body"]

    await app(scope, receive, collect)
    changed = json.dumps(change(json.loads(body))).encode()
    MutableHeaders(scope=start)["content-length"] = str(len(changed))
    await send(start)
    await send({"type": "http.response.body", "body": changed})


@dataclass(frozen=True)
class OtherRange:
    """Send the whole file although a range was requested, or a range that is a byte off."""

    kind: Literal["ignored", "shifted"]

    async def __call__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        scope = {**scope, "headers": list(scope["headers"])}
        headers = MutableHeaders(scope=scope)
        requested = headers.get("range")
        if requested is not None:
            del headers["range"]
            if self.kind == "shifted":
                headers["range"] = re.sub(r"(\d*)-(\d*)", _shifted, requested)
        await app(scope, receive, send)


def _shifted(byte_range: re.Match[str]) -> str:
    first, last = byte_range.groups()
    if not first:
        return f"-{int(last) + 1}"
    step = -1 if int(first) else 1
    return f"{int(first) + step}-{int(last) + step if last else ''}"


class _EndOfAnswerError(Exception):
    """The answer is complete, or the connection closed: the server's next messages are dropped."""


def route_of(scope: Scope) -> str:
    """Return the route of a call, as in `Traffic.calls`."""
    route: str = scope["extensions"]["servicex-layer"]["route"]
    return route


async def hang_up(scope: Scope) -> None:
    """Close the connection of a call."""
    close: Callable[[], Any] = scope["extensions"]["servicex-layer"]["hang_up"]
    await close()
