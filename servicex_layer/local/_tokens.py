"""Proof of being allowed: tokens for the API, signatures for result files."""

from __future__ import annotations

import hashlib
import hmac
import math
import secrets
from urllib.parse import quote, urlencode

import jwt

from servicex_layer.local._clock import Clock

_ALGORITHM = "HS256"


class Tokens:
    """Issues and checks JSON Web Tokens.

    Parameters
    ----------
    lifetime
        Seconds for which an access token is good. Refresh tokens do not expire.
    """

    def __init__(self, clock: Clock, lifetime: float) -> None:
        self._clock = clock
        self._lifetime = lifetime
        self._key = secrets.token_bytes(32)

    def refresh_token(self) -> str:
        """Make a refresh token."""
        return self._encode({"type": "refresh"})

    def access_token(self) -> str:
        """Make an access token."""
        return self._encode(
            {"type": "access", "exp": math.ceil(self._clock.seconds() + self._lifetime)}
        )

    def is_good(self, token: str, kind: str) -> bool:
        """Tell whether a token is this server's, of a kind (access, refresh), and not expired."""
        try:
            # the expiry counts by the server's clock, which PyJWT does not know
            claims = jwt.decode(
                token,
                self._key,
                algorithms=[_ALGORITHM],
                options={"verify_exp": False, "verify_iat": False},
            )
        except jwt.InvalidTokenError:
            return False
        expiry = claims.get("exp", math.inf)
        return claims.get("type") == kind and bool(self._clock.seconds() < expiry)

    def _encode(self, claims: dict[str, object]) -> str:
        issued = {"sub": "local", "iat": int(self._clock.seconds()), "jti": secrets.token_hex(8)}
        return jwt.encode({**issued, **claims}, self._key, algorithm=_ALGORITHM)


class Signer:
    """Signs the URLs of result files, as an object store presigns them.

    Parameters
    ----------
    lifetime
        Seconds for which a URL is good.
    """

    def __init__(self, clock: Clock, lifetime: float) -> None:
        self._clock = clock
        self._lifetime = lifetime
        self._key = secrets.token_bytes(32)

    def sign(self, path: str) -> tuple[str, int]:
        """Quote and sign a path; also returns the Unix time in seconds until which it is good."""
        expires = math.ceil(self._clock.seconds() + self._lifetime)
        query = urlencode({"expires": expires, "signature": self._signature(path, str(expires))})
        return f"{quote(path)}?{query}", expires

    def is_good(self, path: str, expires: str, signature: str) -> bool:
        """Tell whether a path was signed here and has not expired."""
        if not hmac.compare_digest(signature.encode(), self._signature(path, expires).encode()):
            return False
        return self._clock.seconds() < int(expires)

    def _signature(self, path: str, expires: str) -> str:
        return hmac.new(self._key, f"{path}\n{expires}".encode(), hashlib.sha256).hexdigest()
