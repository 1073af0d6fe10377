"""Which failures are retried, and how; timeouts and TLS of all HTTP calls."""

from __future__ import annotations

import functools
import ssl
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import tenacity

from servicex_layer._config import seconds

__all__ = [
    "RETRY_STATUSES",
    "TransientError",
    "http_timeout",
    "json_or_none",
    "retry_after",
    "retry_policy",
    "tls_context",
]

# Statuses after which the same call may succeed: RFC 9110 and RFC 6585.
RETRY_STATUSES = frozenset({408, 429, 500, 502, 503, 504})

_random_exponential = tenacity.wait_random_exponential(multiplier=0.2, max=5.0)


class TransientError(Exception):
    """A failure after which the same call may succeed.

    Parameters
    ----------
    message : str
        What failed, without secrets.
    retry_after : float, optional
        The minimum pause before the next attempt, in seconds; 0 retries immediately.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


def retry_policy(
    retry_timeout: float, monotonic: Callable[[], float] = time.monotonic
) -> dict[str, Any]:
    """Return the arguments of a `tenacity.Retrying` or `tenacity.AsyncRetrying` for one call.

    Each `TransientError` is retried after a pause that is jittered and grows, or that the server
    asks for. The last attempt is made when `retry_timeout` ends.

    Parameters
    ----------
    retry_timeout : float
        Time from now to the last attempt, in seconds.
    monotonic : callable, optional
        The clock, in seconds.
    """
    deadline = monotonic() + retry_timeout

    def pause(state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome is not None else None
        minimum = error.retry_after if isinstance(error, TransientError) else None
        if minimum == 0:
            return 0.0
        remaining = deadline - monotonic()
        return max(min(max(minimum or 0.0, _random_exponential(state)), remaining), 0.0)

    def is_over(_state: tenacity.RetryCallState) -> bool:
        return monotonic() >= deadline

    return {
        "retry": tenacity.retry_if_exception_type(TransientError),
        "wait": pause,
        "stop": is_over,
    }


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the pause that a server asks for, in seconds (RFC 9110, 10.2.3).

    ``None`` if the header is missing, invalid, or in the past: no pause at all would be a busy
    loop.
    """
    value = headers.get("Retry-After", "")
    try:
        pause = float(value) if value.isdecimal() else _seconds_until(value, headers.get("Date"))
    except (TypeError, ValueError):
        return None
    return pause if pause > 0 else None


def _seconds_until(date: str, server_date: str | None) -> float:
    now = parsedate_to_datetime(server_date) if server_date else datetime.now(UTC)
    return (parsedate_to_datetime(date) - now).total_seconds()


def http_timeout() -> httpx.Timeout:
    """Return the settings ``connect-timeout`` and ``read-timeout``, in seconds."""
    return httpx.Timeout(seconds("read-timeout"), connect=seconds("connect-timeout"))


@functools.cache
def tls_context() -> ssl.SSLContext:
    """Return the TLS context of this process: loading the certificates is slow."""
    return httpx.create_ssl_context()


def json_or_none(response: httpx.Response) -> Any:
    """Return the JSON of a response; ``None`` if it is not JSON."""
    try:
        return response.json()
    except (RecursionError, ValueError):
        return None
