"""Tokens for the API: JSON Web Tokens, as a ServiceX server issues them."""

from __future__ import annotations

import math
import secrets

import jwt

from servicex_layer.local._clock import Clock

_ALGORITHM = "HS256"


class RejectedTokenError(Exception):
    """A token that the server rejects, with the status of the answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class TokenIssuer:
    """Issues and verifies the tokens of a server.

    Parameters
    ----------
    clock
        The server's clock, by which tokens expire.
    lifetime
        Seconds for which an access token is valid. Refresh tokens don't expire.
    """

    def __init__(self, clock: Clock, lifetime: float) -> None:
        self._clock = clock
        self._lifetime = lifetime
        self._key = secrets.token_bytes(32)

    def refresh_token(self) -> str:
        """Issue a refresh token."""
        return self._encode({"type": "refresh"})

    def access_token(self) -> str:
        """Issue an access token."""
        return self._encode(
            {"type": "access", "exp": math.ceil(self._clock.seconds() + self._lifetime)}
        )

    def verify(self, token: str, kind: str) -> None:
        """Check that a token is this server's, of a kind (access, refresh), and not expired.

        Raises
        ------
        RejectedTokenError
            If it is not: 401 if it has expired, 422 for anything else, as on a ServiceX server.
        """
        try:
            # PyJWT would check the expiry by this machine's clock
            claims = jwt.decode(
                token,
                self._key,
                algorithms=[_ALGORITHM],
                options={"verify_exp": False, "verify_iat": False},
            )
        except jwt.InvalidTokenError as error:
            raise RejectedTokenError(422, str(error)) from error
        if claims.get("type") != kind:
            raise RejectedTokenError(422, f"Only {kind} tokens are allowed")
        if self._clock.seconds() >= claims.get("exp", math.inf):
            raise RejectedTokenError(401, "Token has expired")

    def _encode(self, claims: dict[str, object]) -> str:
        issued = {"sub": "local", "iat": int(self._clock.seconds()), "jti": secrets.token_hex(8)}
        return jwt.encode({**issued, **claims}, self._key, algorithm=_ALGORITHM)
