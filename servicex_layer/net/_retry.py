"""What all HTTP calls share: their bounds, and which failures may pass."""

from __future__ import annotations

import functools
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import tenacity

from servicex_layer._config import seconds

__all__ = [
    "LONGEST_PAUSE",
    "RETRY_STATUSES",
    "TransientError",
    "http_timeout",
    "json_or_none",
    "retry_after",
    "retry_policy",
    "tls_context",
]

# Answers after which the same call may well succeed: RFC 9110 and RFC 6585.
RETRY_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
LONGEST_PAUSE = 5.0


class TransientError(Exception):
    """A failure after which the same call may succeed.

    Parameters
    ----------
    message : str
        What failed, without anything secret.
    retry_after : float, optional
        How many seconds to wait before the next try, at least; 0 for none.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


_exponential = tenacity.wait_random_exponential(multiplier=0.2, max=LONGEST_PAUSE)


def retry_policy(budget: float) -> dict[str, Any]:
    """Say how a call is tried again, to `tenacity.Retrying` or `tenacity.AsyncRetrying`.

    After each `TransientError`, with pauses that are jittered and grow, or as long as the server
    asks for. The last try is at the end of the budget.

    Parameters
    ----------
    budget : float
        How long, in seconds, from the first try to the last.
    """
    return {
        "retry": tenacity.retry_if_exception_type(TransientError),
        "wait": functools.partial(pause, budget=budget),
        "stop": tenacity.stop_after_delay(budget),
    }


def pause(state: tenacity.RetryCallState, budget: float) -> float:
    """Tell how long to wait before the next try; a server can ask for more than the budget has."""
    failure = state.outcome.exception() if state.outcome is not None else None
    asked = failure.retry_after if isinstance(failure, TransientError) else None
    if asked == 0:
        return 0.0
    left = budget - (state.seconds_since_start or 0.0)
    return max(min(max(asked or 0.0, _exponential(state)), left), 0.0)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Read how many seconds a server asks to be left alone for, if it does (RFC 9110, 10.2.3)."""
    given = headers.get("Retry-After", "")
    try:
        wanted = float(given) if given.isdecimal() else _until(given, headers.get("Date"))
    except (TypeError, ValueError):
        return None
    # No time at all would be a loop without pauses.
    return wanted if wanted > 0 else None


def _until(date: str, now: str | None) -> float:
    server_time = parsedate_to_datetime(now) if now else datetime.now(UTC)
    return (parsedate_to_datetime(date) - server_time).total_seconds()


def http_timeout() -> httpx.Timeout:
    """Bounds on connecting and on waiting for the next bytes, from the settings."""
    return httpx.Timeout(seconds("read-timeout"), connect=seconds("connect-timeout"))


@functools.cache
def tls_context() -> ssl.SSLContext:
    """Make the TLS context, once in a process: loading the certificates takes its time."""
    return httpx.create_ssl_context()


def json_or_none(response: httpx.Response) -> Any:
    """Read JSON; ``None`` where it is none."""
    try:
        return response.json()
    except (RecursionError, ValueError):
        return None
