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

from servicex_layer.errors import AuthorizationError
from servicex_layer.http_calls import parsed
from servicex_layer.model import Backend

__all__ = ["Authorization"]

# The official client renews an access token that has less than this left.
_LEAST_TOKEN_LIFE = 60.0


class Authorization:
    """The access token of one backend, renewed once for all who wait for it."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._token: str | None = None
        self._lock = asyncio.Lock()

    async def token(self, send: Any, rejected: str | None) -> str | None:
        """Give a token that is not `rejected`; ``None`` where the backend needs none."""
        async with self._lock:
            if self._token is None or self._token == rejected or _expires_soon(self._token):
                self._token = await self._renew(send, rejected)
            return self._token

    async def _renew(self, send: Any, rejected: str | None) -> str | None:
        given = _bearer_token_file()
        if given is not None and given != rejected and not _expires_soon(given):
            return given
        if self._backend.token is None:
            return given
        response = await send(
            "POST",
            "/token/refresh",
            headers={"Authorization": f"Bearer {self._backend.token}"},
        )
        token = None
        if response.status_code == HTTPStatus.OK:
            answer = parsed(response)
            token = answer.get("access_token") if isinstance(answer, dict) else None
        if not token:
            raise AuthorizationError(
                f"The ServiceX backend {self._backend.name} at {self._backend.url} rejected the "
                f"refresh token ({response.status_code}). Get a new one from its web page and put "
                "it into your servicex.yaml."
            )
        return str(token)


def _bearer_token_file() -> str | None:
    # A convention of the official client and of analysis facilities.
    path = os.environ.get("BEARER_TOKEN_FILE")
    if not path:
        return None
    try:
        return Path(path).read_text().strip() or None
    except OSError as error:
        raise AuthorizationError(
            f"The environment variable BEARER_TOKEN_FILE names {path}, which cannot be read: "
            f"{error.strerror}."
        ) from None


def _expires_soon(token: str) -> bool:
    """Read ``exp`` of a JWT (RFC 7519); a token that is none never expires by itself."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(claims["exp"]) - time.time() < _LEAST_TOKEN_LIFE
    except (IndexError, KeyError, TypeError, ValueError, binascii.Error):
        return False
