"""Gets bytes of one result from an object store: the right ones, or a clear error."""

from __future__ import annotations

import atexit
import functools
import http.client
import logging
import os
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import tenacity
import urllib3

from servicex_layer.config import seconds
from servicex_layer.errors import CorruptResultError, MissingObjectError, ResultError
from servicex_layer.http_calls import LONGEST_PAUSE, PASSING, http_timeout, retry_after, tls
from servicex_layer.model import Location, ResultFile
from servicex_layer.ranges import Piece, Range

__all__ = ["StoredObject", "Transfer", "checked_size"]

_POOL_SIZE = 64
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


@dataclass(slots=True)
class Transfer:
    """What reading one result took.

    Parameters
    ----------
    requests : int
        Number of calls to the object store.
    asked, received : int
        Bytes that the reader asked for, and that came over the wire.
    seconds : float
        Time spent on transferring.
    """

    requests: int = 0
    asked: int = 0
    received: int = 0
    seconds: float = 0.0


class StoredObject:
    """One result in an object store.

    All connections of a process are kept alive and shared. Safe to use from several threads.

    Parameters
    ----------
    file : ResultFile
        Which result.
    location : Location
        Where it is.
    locate : callable
        Gives another location, called with a URL that was refused.
    what : str
        Which result, for errors.
    transfer : Transfer
        Where calls and bytes are counted.
    """

    size: int
    """As the store says; before it was asked, as announced."""

    def __init__(
        self,
        file: ResultFile,
        location: Location,
        locate: Callable[[str | None], Location],
        what: str,
        transfer: Transfer,
    ) -> None:
        self.size = file.size
        self._file = file
        self._what = what
        self._transfer = transfer
        self._locate = locate
        self._location = location
        self._renewed = False
        self._version: tuple[str | None, int] | None = None
        self._lock = threading.Lock()

    def get(self, wanted: Range) -> Piece:
        """Get a range of bytes, or what there is of it; more where the store serves no ranges.

        Tries again while that may help, for as long as the setting ``retry-timeout`` says.

        Raises
        ------
        CorruptResultError
            Where what comes is not the result that was announced.
        MissingObjectError
            Where the store does not have it, or cannot be reached.
        """
        attempts = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_PassingError),
            wait=_pause,
            stop=tenacity.stop_before_delay(seconds("retry-timeout") or 0.0),
            reraise=True,
        )
        try:
            return attempts(self._attempt, wanted)
        except _PassingError as error:
            raise error.kind(f"{self._what} could not be fetched: {error}.") from None

    def _attempt(self, wanted: Range) -> Piece:
        with self._lock:
            location = self._location
            self._transfer.requests += 1
        response = self._request(location, wanted)
        with self._lock:
            self._transfer.received += len(response.data)
            self._check_status(response, location)
            self._renewed = False
            return self._checked(response, wanted)

    def _request(self, location: Location, wanted: Range) -> urllib3.BaseHTTPResponse:
        if not location.url.startswith(("http://", "https://")):
            raise self._no_url()
        start, stop = wanted
        headers = {"Accept-Encoding": "identity", **location.headers}
        if wanted != (0, self._file.size):
            headers["Range"] = f"bytes={start}-{stop - 1}"
        timeout = http_timeout()
        _calling.on = True
        try:
            return _pool().request(
                "GET",
                location.url,
                headers=headers,
                timeout=urllib3.Timeout(connect=timeout.connect, read=timeout.read),
                retries=urllib3.Retry(
                    total=None,
                    connect=0,
                    read=0,
                    other=0,
                    redirect=3,
                    remove_headers_on_redirect=[*location.headers],
                ),
            )
        # Their own texts hold the URL, and the URL its signature.
        except urllib3.exceptions.LocationValueError:
            raise self._no_url() from None
        except urllib3.exceptions.HTTPError as error:
            cause = _cause(error)
            short = isinstance(cause, http.client.IncompleteRead)
            raise _PassingError(
                f"the connection failed ({type(cause).__name__})",
                CorruptResultError if short else MissingObjectError,
            ) from None
        finally:
            _calling.on = False

    def _no_url(self) -> MissingObjectError:
        return MissingObjectError(
            f"{self._what} could not be fetched: what the backend gave for it is no URL."
        )

    def _check_status(self, response: urllib3.BaseHTTPResponse, location: Location) -> None:
        status = response.status
        said = f"the object store answered {status} {response.reason or ''}".rstrip()
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            self._renew(location, said)
        if status == HTTPStatus.NOT_FOUND or status in PASSING:
            # Servers of 2024 report a result before they have uploaded it.
            raise _PassingError(said, after=retry_after(response.headers))
        if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise CorruptResultError(
                f"{self._what} has less than {self.size} bytes, which the backend reported."
            )
        if status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
            raise MissingObjectError(f"{self._what} could not be fetched: {said}.")

    def _renew(self, refused: Location, said: str) -> None:
        """Take another URL for one that has expired; a fresh one that is refused never works."""
        if refused is self._location:
            if not self._renewed:
                self._location = self._locate(refused.url)
                self._renewed = True
            if self._location.url == refused.url:
                raise MissingObjectError(f"{self._what} could not be fetched: {said}.")
        raise _PassingError(f"{said} to a URL that the backend gave", after=0.0)

    def _checked(self, response: urllib3.BaseHTTPResponse, wanted: Range) -> Piece:
        start, stop = wanted
        size = len(response.data)
        if response.status == HTTPStatus.OK:
            # A store need not serve ranges (RFC 9110, 14.2).
            start = 0
        else:
            given = response.headers.get("Content-Range", "")
            match = _CONTENT_RANGE.fullmatch(given)
            first, last, total = match.groups() if match else ("", "", "")
            size = int(total) if total.isdecimal() else self.size
            stop = min(stop, size)
            if (first, last) != (str(start), str(stop - 1)) or len(response.data) != stop - start:
                raise _PassingError(
                    f"bytes {start}-{stop - 1} were asked for and {given!r} came",
                    CorruptResultError,
                )
        self.size = checked_size(size, self._file, self._what)
        version = response.headers.get("ETag"), size
        if self._version not in (None, version):
            raise CorruptResultError(f"{self._what} changed in the object store as it was read.")
        self._version = version
        return start, response.data


def checked_size(size: int, file: ResultFile, what: str) -> int:
    """Give a size back that is not less than the announced one.

    Raises
    ------
    CorruptResultError
        Where it is.
    """
    if size < file.size:
        raise CorruptResultError(f"{what} has {size} bytes, but the backend reported {file.size}.")
    return size


class _PassingError(Exception):
    """A failure after which the same call may succeed."""

    def __init__(
        self,
        message: str,
        kind: type[ResultError] = MissingObjectError,
        after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.after = after


def _cause(error: BaseException) -> BaseException:
    """Look for what lies below urllib3's errors: their `reason`, or the last of what they say."""
    below = getattr(error, "reason", None) or (error.args[-1] if error.args else None)
    return _cause(below) if isinstance(below, BaseException) else error


_exponential = tenacity.wait_random_exponential(multiplier=0.1, max=LONGEST_PAUSE)


def _pause(state: tenacity.RetryCallState) -> float:
    failure = state.outcome.exception() if state.outcome is not None else None
    if isinstance(failure, _PassingError) and failure.after is not None:
        return max(0.0, failure.after)
    return _exponential(state)


@functools.cache
def _pool() -> urllib3.PoolManager:
    """Give the process's connections to object stores."""
    pool = urllib3.PoolManager(maxsize=_POOL_SIZE, ssl_context=tls())
    atexit.register(pool.clear)
    return pool


# Two processes on one connection would get each other's answers.
os.register_at_fork(after_in_child=_pool.cache_clear)

_calling: Any = threading.local()


def _not_calling(_record: logging.LogRecord) -> bool:
    return not getattr(_calling, "on", False)


# What urllib3 logs of a call holds the URL, and the URL its signature.
for _name in ("connectionpool", "poolmanager", "util.retry"):
    logging.getLogger(f"urllib3.{_name}").addFilter(_not_calling)
