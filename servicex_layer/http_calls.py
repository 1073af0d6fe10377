"""What all HTTP calls share: their bounds, and which failures may pass."""

from __future__ import annotations

import functools
import ssl
from collections.abc import Mapping
from typing import Any

import httpx
import tenacity

from servicex_layer.config import seconds

__all__ = [
    "LONGEST_PAUSE",
    "PASSING",
    "PassingError",
    "http_timeout",
    "parsed",
    "pause",
    "retry_after",
    "tls",
]

# Answers after which the same call may well succeed: RFC 9110 and RFC 6585.
PASSING = frozenset({408, 429, 500, 502, 503, 504})
LONGEST_PAUSE = 5.0


class PassingError(Exception):
    """A failure after which the same call may succeed."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


_exponential = tenacity.wait_random_exponential(multiplier=0.2, max=LONGEST_PAUSE)


def pause(state: tenacity.RetryCallState) -> float:
    """Tell how long to wait before the next try: as asked, or longer and longer, jittered."""
    failure = state.outcome.exception() if state.outcome is not None else None
    asked = failure.retry_after if isinstance(failure, PassingError) else None
    return max(asked or 0.0, _exponential(state))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Read how many seconds a server asks to be left alone for, if it does."""
    try:
        return float(headers["Retry-After"])
    except (KeyError, ValueError):
        return None


def http_timeout() -> httpx.Timeout:
    """Bounds on connecting and on waiting for the next bytes, from the settings."""
    return httpx.Timeout(seconds("read-timeout"), connect=seconds("connect-timeout"))


@functools.cache
def tls() -> ssl.SSLContext:
    """Make the TLS context, once in a process: loading the certificates takes its time."""
    return httpx.create_ssl_context()


def parsed(response: httpx.Response) -> Any:
    """Read JSON; ``None`` where it is none."""
    try:
        return response.json()
    except ValueError:
        return None
