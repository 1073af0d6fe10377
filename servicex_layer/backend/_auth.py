"""The access token: renewed before it expires and after a refusal (401, 422), by an httpx flow."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from http import HTTPStatus
from pathlib import Path

import httpx

from servicex_layer._model import Backend, is_sendable
from servicex_layer.errors import AuthorizationError
from servicex_layer.net import Clock, json_or_none

__all__ = ["ServiceXAuth", "bearer_token", "is_rejection"]

# The official client renews an access token that has less than this left.
_MIN_TOKEN_LIFE = 60.0
# How long a rejected refresh token is not sent again.
_REJECTION_LIFE = 60.0


class ServiceXAuth(httpx.Auth):
    """Sends an access token with each call, and renews it before it expires or if it is rejected.

    All calls of one backend share the token: a renewal is one call for all that wait for it.

    Parameters
    ----------
    backend : Backend
        The backend, with its refresh token.
    access_token : str or None
        The access token to use if ``BEARER_TOKEN_FILE`` is not set.
    refresh : callable
        Sends the refresh token to the backend, and returns the response.
    clock : Clock
        The clock that limits how long a rejection is remembered.
    """

    def __init__(
        self,
        backend: Backend,
        access_token: str | None,
        refresh: Callable[[], Awaitable[httpx.Response]],
        clock: Clock,
    ) -> None:
        self._backend = backend
        self._access_token = access_token
        self._refresh = refresh
        self._clock = clock
        self._renewed_token: str | None = None
        self._rejection = ""
        self._rejected_until = -float("inf")
        self._lock = asyncio.Lock()

    async def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Send the request; if its token is rejected, send it once more with a new token.

        Raises
        ------
        AuthorizationError
            If the backend rejects the refresh token, or the token file can't be read.
        """
        token = await self._usable_token(rejected=None)
        _set_token(request, token)
        response = yield request
        await response.aread()
        if is_rejection(response):
            # A server that lost its key rejects tokens before they expire.
            renewed = await self._usable_token(rejected=token)
            if renewed != token:
                _set_token(request, renewed)
                yield request

    async def _usable_token(self, rejected: str | None) -> str | None:
        """Return a token other than `rejected`, if there is one."""
        async with self._lock:
            access_token = bearer_token() or self._access_token
            if access_token not in (None, rejected) and not _expires_soon(access_token):
                return access_token
            if self._backend.token is None:
                return access_token
            if self._renewed_token in (None, rejected) or _expires_soon(self._renewed_token):
                self._renewed_token = await self._renew()
            return self._renewed_token

    async def _renew(self) -> str:
        if self._clock.monotonic() < self._rejected_until:
            raise AuthorizationError(self._rejection)
        response = await self._refresh()
        answer = json_or_none(response) if response.status_code == HTTPStatus.OK else None
        token = answer.get("access_token") if isinstance(answer, dict) else None
        if token and is_sendable(token):
            return str(token)
        self._rejection = (
            f"The ServiceX backend {self._backend.name} at {self._backend.url} rejected the "
            f"refresh token ({response.status_code}, no access token). Get a new one from its web "
            "page and put it into your servicex.yaml."
        )
        self._rejected_until = self._clock.monotonic() + _REJECTION_LIFE
        raise AuthorizationError(self._rejection)


def bearer_token() -> str | None:
    """Return the access token in the file that ``BEARER_TOKEN_FILE`` names; ``None`` if unset.

    The file is read at each call: facilities renew the token in it.

    Raises
    ------
    AuthorizationError
        If the file can't be read, or holds no token.
    """
    path = os.environ.get("BEARER_TOKEN_FILE")
    if not path:
        return None
    try:
        content = Path(path).read_bytes().decode("ascii", "replace").strip()
    except OSError as error:
        raise AuthorizationError(
            f"The environment variable BEARER_TOKEN_FILE names {path}, which can't be read: "
            f"{error.strerror}."
        ) from None
    if not is_sendable(content):
        raise AuthorizationError(
            f"The environment variable BEARER_TOKEN_FILE names {path}, which holds no token. It "
            "must be one line of ASCII characters."
        )
    return content or None


def is_rejection(response: httpx.Response) -> bool:
    """Return whether the server rejected the access token.

    ServiceX answers 401 to an expired token, and 422 with ``{"msg": ...}`` to a malformed one, or
    one with another server's signature.
    """
    if response.status_code == HTTPStatus.UNPROCESSABLE_ENTITY:
        answer = json_or_none(response)
        return isinstance(answer, dict) and "msg" in answer
    return response.status_code == HTTPStatus.UNAUTHORIZED


def _set_token(request: httpx.Request, token: str | None) -> None:
    if token is not None:
        request.headers["Authorization"] = f"Bearer {token}"


def _expires_soon(token: str | None) -> bool:
    """Return whether ``exp`` of a JWT (RFC 7519) is near; other tokens have no known expiry."""
    try:
        payload = (token or "").split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(claims["exp"]) - time.time() < _MIN_TOKEN_LIFE
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, binascii.Error):
        return False
