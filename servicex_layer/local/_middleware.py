"""ASGI middleware of the server: what happens to a call around its handler."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from servicex_layer.local._clock import Clock
from servicex_layer.local._token_issuer import TokenIssuer
from servicex_layer.local._traffic import FileCall, Traffic

EXTENSION = "servicex-layer"
"""The key below ``extensions`` of a call's scope at which middleware finds ``route`` and
``hang_up``."""

HangUp = Callable[[tuple[str, int]], None]
"""Closes the connection of the client with an address, once everything written is sent."""


@dataclass(frozen=True)
class RouteExtension:
    """Tells middleware the route of a call, and gives it a way to hang up."""

    app: ASGIApp
    route: str
    hang_up: HangUp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add the extension to the scope of a call."""

        async def hang_up() -> None:
            self.hang_up(scope["client"])
            while (await receive())["type"] != "http.disconnect":
                pass

        extension = {"route": self.route, "hang_up": hang_up}
        scope["extensions"] = {**scope.get("extensions", {}), EXTENSION: extension}
        await self.app(scope, receive, send)


@dataclass(frozen=True)
class TrafficCounter:
    """Counts the calls of a route, and the bytes of result files."""

    app: ASGIApp
    route: str
    traffic: Traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count a call."""
        self.traffic.add_call(self.route)
        if self.route != "file":
            await self.app(scope, receive, send)
            return
        call = Request(scope)
        name, byte_range = call.path_params["name"], call.headers.get("range")
        self.traffic.add_file(FileCall(call.method, name, byte_range))
        has_content = False

        async def send_counted(message: Message) -> None:
            nonlocal has_content
            if message["type"] == "http.response.start":
                has_content = message["status"] in {200, 206}
            elif has_content:  # before sending: a client that has the bytes finds them counted
                self.traffic.add_bytes(len(message["body"]))
            await send(message)

        await self.app(scope, receive, send_counted)


@dataclass(frozen=True)
class Authorization:
    """Rejects calls without a valid access token."""

    app: ASGIApp
    tokens: TokenIssuer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a call on, or raise for its 401 or 422."""
        self.tokens.verify(bearer_token(Request(scope)), "access")
        await self.app(scope, receive, send)


@dataclass(frozen=True)
class ServerDate:
    """Dates every response by the server's clock."""

    app: ASGIApp
    clock: Clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Set the ``Date`` header."""

        async def send_dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["date"] = formatdate(self.clock.seconds(), usegmt=True)
            await send(message)

        await self.app(scope, receive, send_dated)


def bearer_token(call: Request) -> str:
    """Return the bearer token of a call, or raise for a 401 if it has none."""
    scheme, _, token = call.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise HTTPException(401, "The call has no bearer token")
    return token.strip()
