"""Gets bytes of one result from an object store: the right ones, or a clear error."""

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
from servicex_layer.transport import _connection_pool as pools
from servicex_layer.transport._ranges import Piece, Range
from servicex_layer.transport._result import ResultSource

__all__ = ["StoredObject", "checked_size"]

# Ranges of up to this many bytes, on average, take longer to ask for than to fetch.
_SMALL = 1024 * 1024
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class StoredObject:
    """One result in an object store.

    All connections of a process are kept alive and shared. Safe to use from several threads.

    Parameters
    ----------
    source : ResultSource
        Which result.
    location : Location
        Where it is.
    """

    size: int
    """As the store says; before it was asked, as announced."""

    def __init__(self, source: ResultSource, location: Location) -> None:
        self.size = source.file.size
        self._source = source
        self._transfer = source.transfer
        self._location = location
        self._renewed = False
        self._version: tuple[str | None, int] | None = None
        self._lock = threading.Lock()

    def get_all(self, wanted: Sequence[Range]) -> list[Piece]:
        """Get ranges of bytes at the same time; parameters and errors are those of `get`."""
        started = time.perf_counter()
        try:
            if len(wanted) == 1:
                return [self.get(wanted[0])]
            small = sum(stop - start for start, stop in wanted) <= _SMALL * len(wanted)
            pieces = self._get_many(wanted) if small else []
            had = {start for start, _ in pieces}
            missing = [one for one in wanted if one[0] not in had]
            if not missing or self._is_whole(pieces):
                return pieces
            with ThreadPoolExecutor(min(len(missing), pools.CONNECTIONS)) as threads:
                return [*pieces, *threads.map(self.get, missing)]
        finally:
            self._transfer.seconds += time.perf_counter() - started

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
        attempts = tenacity.Retrying(**retry_policy(seconds("retry-timeout") or 0.0), reraise=True)
        try:
            return attempts(self._attempt, wanted)
        except _StoreError as error:
            raise error.kind(f"{self._source.what} could not be fetched: {error}.") from None
        finally:
            with self._lock:
                self._transfer.retries += attempts.statistics["attempt_number"] - 1

    def _get_many(self, wanted: Sequence[Range]) -> list[Piece]:
        """Get what comes at once and without fault; the rest is left to `get`."""
        pieces: list[Piece] = []
        location = self._location
        try:
            for one, answer in pools.get_each(location.url, _headers(location), wanted):
                self._transfer.requests += 1
                if answer is not None:
                    with suppress(_StoreError):
                        pieces.append(self._accepted(answer, location, one))
                if self._is_whole(pieces) or self._location is not location:
                    break
        except urllib3.exceptions.LocationValueError:
            raise self._no_url() from None
        return pieces

    def _is_whole(self, pieces: Sequence[Piece]) -> bool:
        return bool(pieces) and pieces[-1][0] == 0 and len(pieces[-1][1]) == self.size

    def _attempt(self, wanted: Range) -> Piece:
        with self._lock:
            location = self._location
            self._transfer.requests += 1
        response = self._request(location, wanted)
        with self._lock:
            return self._accepted(response, location, wanted)

    def _request(self, location: Location, wanted: Range) -> urllib3.BaseHTTPResponse:
        whole = wanted == (0, self._source.file.size)
        try:
            return pools.get(location.url, _headers(location), None if whole else wanted)
        # Their own texts hold the URL, and the URL its signature.
        except urllib3.exceptions.LocationValueError:
            raise self._no_url() from None
        except urllib3.exceptions.HTTPError as error:
            if is_certificate_error(error):
                raise MissingObjectError(
                    f"{self._source.what} could not be fetched: {UNTRUSTED_CERTIFICATE}."
                ) from None
            cause = _cause(error)
            short = isinstance(cause, http.client.IncompleteRead)
            raise _StoreError(
                f"the connection failed ({type(cause).__name__})",
                CorruptResultError if short else MissingObjectError,
            ) from None

    def _no_url(self) -> MissingObjectError:
        return MissingObjectError(
            f"{self._source.what} could not be fetched: what the backend gave for it is no URL."
        )

    def _accepted(
        self, response: urllib3.BaseHTTPResponse, location: Location, wanted: Range
    ) -> Piece:
        self._transfer.received += len(response.data)
        self._check_status(response, location)
        self._renewed = False
        return self._checked(response, wanted)

    def _check_status(self, response: urllib3.BaseHTTPResponse, location: Location) -> None:
        status = response.status
        told = parse_s3_error(response.data) if response.status >= HTTPStatus.BAD_REQUEST else None
        if told is not None and told[0] == "NoSuchBucket":
            raise s3_error(f"{self._source.what} could not be fetched", *told)
        why = response.reason or "" if told is None else ": ".join(told)
        answer = f"the object store answered {status} {why}".rstrip(" :")
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            self._renew(location, answer)
        if status == HTTPStatus.NOT_FOUND or status in RETRY_STATUSES:
            # Servers of 2024 report a result before they have uploaded it.
            raise _StoreError(answer, retry_after=retry_after(response.headers))
        if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise CorruptResultError(
                f"{self._source.what} has less than {self.size} bytes, which the backend reported."
            )
        if status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
            raise MissingObjectError(f"{self._source.what} could not be fetched: {answer}.")

    def _renew(self, refused: Location, answer: str) -> None:
        """Take another URL for one that has expired; a fresh one that is refused never works."""
        if refused is self._location:
            if not self._renewed:
                self._location = self._source.locate(refused.url)
                self._renewed = True
            if self._location.url == refused.url:
                raise MissingObjectError(f"{self._source.what} could not be fetched: {answer}.")
        raise _StoreError(f"{answer} to a URL that the backend gave", retry_after=0.0)

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
                raise _StoreError(
                    f"bytes {start}-{stop - 1} were asked for and {given!r} came",
                    CorruptResultError,
                )
        self.size = checked_size(size, self._source)
        version = response.headers.get("ETag"), size
        if self._version not in (None, version):
            raise CorruptResultError(
                f"{self._source.what} changed in the object store as it was read."
            )
        self._version = version
        return start, response.data


def checked_size(size: int, source: ResultSource) -> int:
    """Give a size back that is not less than the announced one.

    Raises
    ------
    CorruptResultError
        Where it is.
    """
    announced = source.file.size
    if size < announced:
        raise CorruptResultError(
            f"{source.what} has {size} bytes, but the backend reported {announced}."
        )
    return size


class _StoreError(TransientError):
    """A failure after which the same call may succeed, and the error that it is if not."""

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


def _cause(error: BaseException) -> BaseException:
    """Look for what lies below urllib3's errors: their `reason`, or the last of what they say."""
    below = getattr(error, "reason", None) or (error.args[-1] if error.args else None)
    return _cause(below) if isinstance(below, BaseException) else error
