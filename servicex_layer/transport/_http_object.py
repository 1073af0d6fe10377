"""One object over HTTP: the right bytes, or a clear error."""

from __future__ import annotations

import http.client
import re
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http import HTTPStatus

import tenacity
import urllib3

from servicex_layer._config import seconds
from servicex_layer._model import Location
from servicex_layer.errors import CorruptResultError, MissingObjectError, ResultError
from servicex_layer.net import (
    RETRY_STATUSES,
    UNTRUSTED_CERTIFICATE,
    TransientError,
    is_certificate_error,
    parse_s3_error,
    retry_after,
    retry_policy,
    s3_error,
)
from servicex_layer.transport import _connection_pool as pool
from servicex_layer.transport._ranges import Piece, Range
from servicex_layer.transport._result import ResultSource

__all__ = ["HTTPObject", "check_size"]

# The round trip costs more than the transfer of ranges of up to this many bytes, on average.
_SMALL = 1024 * 1024
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class HTTPObject:
    """One result in an object store.

    Shares the process's connections. Safe to use from several threads.

    Parameters
    ----------
    source : ResultSource
        The result.
    location : Location
        Its URL and headers.
    """

    size: int
    """In bytes: as the store says or, before its first answer, as the backend announced."""

    def __init__(self, source: ResultSource, location: Location) -> None:
        self.size = source.file.size
        self._source = source
        self._transfer = source.transfer
        self._location = location
        self._renewed = False
        self._version: tuple[str | None, int] | None = None
        self._lock = threading.Lock()

    def get_all(self, ranges: Sequence[Range]) -> list[Piece]:
        """Get ranges of bytes concurrently; raises what `get` raises."""
        started = time.perf_counter()
        try:
            if len(ranges) == 1:
                return [self.get(ranges[0])]
            small = sum(stop - start for start, stop in ranges) <= _SMALL * len(ranges)
            pieces = self._get_pipelined(ranges) if small else []
            starts = {start for start, _ in pieces}
            missing = [byte_range for byte_range in ranges if byte_range[0] not in starts]
            if not missing or self._is_whole(pieces):
                return pieces
            with ThreadPoolExecutor(min(len(missing), pool.MAX_CONNECTIONS)) as threads:
                return [*pieces, *threads.map(self.get, missing)]
        finally:
            self._transfer.seconds += time.perf_counter() - started

    def get(self, byte_range: Range) -> Piece:
        """Get a range of bytes; less at the end of the object, more from a store without ranges.

        Retries transient failures for as long as the setting ``retry-timeout`` says.

        Raises
        ------
        CorruptResultError
            If the store sends anything else than the result that the backend announced.
        MissingObjectError
            If the store does not have the result, or cannot be reached.
        """
        attempts = tenacity.Retrying(**retry_policy(seconds("retry-timeout") or 0.0), reraise=True)
        try:
            return attempts(self._attempt, byte_range)
        except _StoreError as error:
            raise error.kind(self._not_fetched(error)) from None
        finally:
            with self._lock:
                self._transfer.retries += attempts.statistics["attempt_number"] - 1

    def _get_pipelined(self, ranges: Sequence[Range]) -> list[Piece]:
        """Get the ranges that need neither a retry nor a redirect; `get` is for the others."""
        pieces: list[Piece] = []
        location = self._location
        try:
            for byte_range, response in pool.get_each(location.url, _headers(location), ranges):
                self._transfer.requests += 1
                if response is not None:
                    with suppress(_StoreError):
                        pieces.append(self._accept(response, location, byte_range))
                if self._is_whole(pieces) or self._location is not location:
                    break
        except urllib3.exceptions.LocationValueError:
            raise self._invalid_url_error() from None
        return pieces

    def _is_whole(self, pieces: Sequence[Piece]) -> bool:
        return bool(pieces) and pieces[-1][0] == 0 and len(pieces[-1][1]) == self.size

    def _attempt(self, byte_range: Range) -> Piece:
        with self._lock:
            location = self._location
            self._transfer.requests += 1
        response = self._request(location, byte_range)
        with self._lock:
            return self._accept(response, location, byte_range)

    def _request(self, location: Location, byte_range: Range) -> urllib3.BaseHTTPResponse:
        is_whole = byte_range == (0, self._source.file.size)
        try:
            return pool.get(location.url, _headers(location), None if is_whole else byte_range)
        # The messages of urllib3's errors hold the URL, and the URL its signature.
        except urllib3.exceptions.LocationValueError:
            raise self._invalid_url_error() from None
        except urllib3.exceptions.HTTPError as error:
            if is_certificate_error(error):
                raise MissingObjectError(self._not_fetched(UNTRUSTED_CERTIFICATE)) from None
            cause = _root_cause(error)
            is_cut_off = isinstance(cause, http.client.IncompleteRead)
            raise _StoreError(
                f"the connection failed ({type(cause).__name__})",
                CorruptResultError if is_cut_off else MissingObjectError,
            ) from None

    def _not_fetched(self, reason: object) -> str:
        return f"{self._source.description} could not be fetched: {reason}."

    def _invalid_url_error(self) -> MissingObjectError:
        return MissingObjectError(self._not_fetched("the backend's URL for it is not a valid URL"))

    def _accept(
        self, response: urllib3.BaseHTTPResponse, location: Location, byte_range: Range
    ) -> Piece:
        self._transfer.received += len(response.data)
        self._check_status(response, location)
        self._renewed = False
        return self._check_body(response, byte_range)

    def _check_status(self, response: urllib3.BaseHTTPResponse, location: Location) -> None:
        status = response.status
        details = parse_s3_error(response.data) if status >= HTTPStatus.BAD_REQUEST else None
        if details is not None and details[0] == "NoSuchBucket":
            raise s3_error(f"{self._source.description} could not be fetched", *details)
        reason = response.reason or "" if details is None else ": ".join(details)
        answer = f"the object store answered {status} {reason}".rstrip(" :")
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            self._renew(location, answer)
        if status == HTTPStatus.NOT_FOUND or status in RETRY_STATUSES:
            # Servers of 2024 report a result before they have uploaded it.
            raise _StoreError(answer, retry_after=retry_after(response.headers))
        if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise CorruptResultError(
                f"{self._source.description} has fewer than the {self.size} bytes that the backend "
                "reported."
            )
        if status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
            raise MissingObjectError(self._not_fetched(answer))

    def _renew(self, rejected: Location, answer: str) -> None:
        """Replace an expired URL; if the store rejects the new one too, give up."""
        if rejected is self._location:
            if not self._renewed:
                self._location = self._source.locate(rejected.url)
                self._renewed = True
            if self._location.url == rejected.url:
                raise MissingObjectError(self._not_fetched(answer))
        raise _StoreError(f"{answer} to a URL from the backend", retry_after=0.0)

    def _check_body(self, response: urllib3.BaseHTTPResponse, byte_range: Range) -> Piece:
        start, stop = byte_range
        size = len(response.data)
        if response.status == HTTPStatus.OK:
            # A store need not serve ranges (RFC 9110, 14.2).
            start = 0
        else:
            content_range = response.headers.get("Content-Range", "")
            match = _CONTENT_RANGE.fullmatch(content_range)
            first, last, total = match.groups() if match else ("", "", "")
            size = int(total) if total.isdecimal() else self.size
            stop = min(stop, size)
            if (first, last) != (str(start), str(stop - 1)) or len(response.data) != stop - start:
                raise _StoreError(
                    f"the store was asked for bytes {start}-{stop - 1} and sent {content_range!r}",
                    CorruptResultError,
                )
        check_size(size, self._source)
        self.size = size
        version = response.headers.get("ETag"), size
        if self._version not in (None, version):
            raise CorruptResultError(
                f"{self._source.description} changed in the object store while it was read."
            )
        self._version = version
        return start, response.data


def check_size(size: int, source: ResultSource) -> None:
    """Check that a result is not smaller than announced.

    Raises
    ------
    CorruptResultError
        If it is.
    """
    announced = source.file.size
    if size < announced:
        raise CorruptResultError(
            f"{source.description} has {size} bytes, but the backend reported {announced}."
        )


class _StoreError(TransientError):
    """A transient failure, and the error to raise if it does not pass."""

    def __init__(
        self,
        message: str,
        kind: type[ResultError] = MissingObjectError,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, retry_after)
        self.kind = kind


def _headers(location: Location) -> dict[str, str]:
    return {"Accept-Encoding": "identity", **location.headers}


def _root_cause(error: BaseException) -> BaseException:
    """Return the exception below urllib3's: its `reason`, or its last argument."""
    below = getattr(error, "reason", None) or (error.args[-1] if error.args else None)
    return _root_cause(below) if isinstance(below, BaseException) else error
