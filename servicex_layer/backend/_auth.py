"""The access token of a backend, renewed before it ends and when it is rejected."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import os
import time
from http import HTTPStatus
from pathlib import Path
from typing import Any

from servicex_layer._model import Backend, is_sendable
from servicex_layer.errors import AuthorizationError
from servicex_layer.net import json_or_none

__all__ = ["Authorization", "bearer_token"]

# The official client renews an access token that has less than this left.
_LEAST_TOKEN_LIFE = 60.0
# How long a refresh token that was rejected is not tried again.
_REJECTION_LIFE = 60.0


class Authorization:
    """The access token of one backend, renewed once for all who wait for it.

    Parameters
    ----------
    backend : Backend
        Which backend, with the refresh token.
    access_token : str, optional
        An access token, of where no file can be read that holds one.
    """

    def __init__(self, backend: Backend, access_token: str | None = None) -> None:
        self._backend = backend
        self._access_token = access_token
        self._token: str | None = None
        self._refreshed: str | None = None
        self._rejection: tuple[str, float] | None = None
        self._lock = asyncio.Lock()

    async def token(self, send: Any, rejected: str | None) -> str | None:
        """Give a token that is not `rejected`; ``None`` where the backend needs none.

        Raises
        ------
        AuthorizationError
            Where the backend rejects the refresh token, or there is none.
        """
        async with self._lock:
            access_token = bearer_token() or self._access_token
            if (
                access_token is not None
                and access_token != rejected
                and not _expires_soon(access_token)
            ):
                return access_token
            if self._backend.token is None:
                return access_token
            if self._refreshed in (None, rejected) or _expires_soon(self._refreshed):
                self._refreshed = await self._refresh(send, self._backend.token)
            return self._refreshed

    async def _refresh(self, send: Any, refresh_token: str) -> str:
        if self._rejection is not None and time.monotonic() < self._rejection[1]:
            raise AuthorizationError(self._rejection[0])
        response = await send(
            "POST", "/token/refresh", headers={"Authorization": f"Bearer {refresh_token}"}
        )
        answer = json_or_none(response) if response.status_code == HTTPStatus.OK else None
        token = answer.get("access_token") if isinstance(answer, dict) else None
        if token and is_sendable(token):
            return str(token)
        rejection = (
            f"The ServiceX backend {self._backend.name} at {self._backend.url} rejected the "
            f"refresh token ({response.status_code}, no access token). Get a new one from its web "
            "page and put it into your servicex.yaml."
        )
        self._rejection = rejection, time.monotonic() + _REJECTION_LIFE
        raise AuthorizationError(rejection)


def bearer_token() -> str | None:
    """Read the access token in the file that ``BEARER_TOKEN_FILE`` names, where it names one.

    Facilities keep it up to date in that file, so it is read anew for each use.

    Raises
    ------
    AuthorizationError
        Where the file cannot be read.
    """
    path = os.environ.get("BEARER_TOKEN_FILE")
    if not path:
        return None
    try:
        content = Path(path).read_bytes().decode("ascii", "replace").strip()
    except OSError as error:
        raise AuthorizationError(
            f"The environment variable BEARER_TOKEN_FILE names {path}, which cannot be read: "
            f"{error.strerror}."
        ) from None
    if not is_sendable(content):
        raise AuthorizationError(
            f"The environment variable BEARER_TOKEN_FILE names {path}, which holds no token: a "
            "line of ASCII characters."
        )
    return content or None


def _expires_soon(token: str | None) -> bool:
    """Read ``exp`` of a JWT (RFC 7519); a token that is none never expires by itself."""
    try:
        payload = (token or "").split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(claims["exp"]) - time.time() < _LEAST_TOKEN_LIFE
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, binascii.Error):
        return False
