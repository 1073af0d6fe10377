"""Signed URLs of result files, as an object store presigns them."""

from __future__ import annotations

import hashlib
import hmac
import math
import secrets
from urllib.parse import quote, urlencode

from servicex_layer.local._clock import Clock


class UrlSigner:
    """Signs and verifies the URLs of a server.

    Parameters
    ----------
    clock
        The server's clock, by which URLs expire.
    lifetime
        Seconds for which a URL is valid.
    """

    def __init__(self, clock: Clock, lifetime: float) -> None:
        self._clock = clock
        self._lifetime = lifetime
        self._key = secrets.token_bytes(32)

    def sign(self, path: str) -> tuple[str, int]:
        """Quote and sign a path; return it with its expiry in Unix seconds."""
        expires = math.ceil(self._clock.seconds() + self._lifetime)
        query = urlencode({"expires": expires, "signature": self._signature(path, str(expires))})
        return f"{quote(path)}?{query}", expires

    def is_valid(self, path: str, expires: str, signature: str) -> bool:
        """Return whether this server signed the path and the signature has not expired."""
        if not hmac.compare_digest(signature.encode(), self._signature(path, expires).encode()):
            return False
        return self._clock.seconds() < int(expires)

    def _signature(self, path: str, expires: str) -> str:
        return hmac.new(self._key, f"{path}\n{expires}".encode(), hashlib.sha256).hexdigest()
