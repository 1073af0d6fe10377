"""The bytes of one result in an object store: whole, or only the ranges that are needed."""

from __future__ import annotations

import atexit
import bisect
import functools
import mmap
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from itertools import pairwise
from typing import Protocol, cast

import dask.config
import tenacity
import urllib3
from dask.utils import parse_bytes

from servicex_layer.config import seconds
from servicex_layer.errors import CorruptResultError, MissingObjectError, ResultError
from servicex_layer.model import Location, ResultFile
from servicex_layer.rest import LONGEST_PAUSE, PASSING, http_timeout, retry_after, tls

__all__ = ["Body", "Local", "Remote", "Transfer"]

# A first look at a large file takes both ends: there are the directory of a ROOT file and the
# footers of RNTuples and Parquet files. A small read takes what follows along.
_HEAD = 32 * 1024
_TAIL = 128 * 1024
_AHEAD = 32 * 1024
# Ranges are merged while what lies between them adds no more than this fraction.
_WASTE = 0.1
_CONNECTIONS = 8

Range = tuple[int, int]
Piece = tuple[int, bytes]


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


class Body(Protocol):
    """The bytes of one result, wherever they are."""

    size: int
    transfer: Transfer

    def read(self, ranges: Sequence[Range], *, keep: bool = False) -> list[memoryview]:
        """Read ranges of bytes; see `Remote.read`."""
        ...


class Remote:
    """One result in an object store, read by ranges of bytes.

    A small result is fetched whole, at the first read. All connections of a process are kept
    alive and shared.

    Parameters
    ----------
    file : ResultFile
        Which result; its size decides how it is read.
    location : Location
        Where it is.
    locate : callable
        Gives another location, called with a URL that was refused.
    what : str
        Which result, for errors.

    Raises
    ------
    CorruptResultError
        Where what comes is not the result that was announced.
    MissingObjectError
        Where the store does not have it, or cannot be reached.
    """

    transfer: Transfer

    def __init__(
        self,
        file: ResultFile,
        location: Location,
        locate: Callable[[str | None], Location],
        what: str,
    ) -> None:
        self.transfer = Transfer()
        self._what = what
        self._file = file
        self._locate = locate
        self._location = location
        self._etag: str | None = None
        # What is kept of it, in order: metadata that is read in small pieces, or all.
        self._kept: list[Piece] = []
        self.size = file.size
        self._open()

    def read(self, ranges: Sequence[Range], *, keep: bool = False) -> list[memoryview]:
        """Read ranges of bytes, each from its first to before its last.

        Parameters
        ----------
        ranges : sequence of (int, int)
            In any order; they may overlap.
        keep : bool
            Whether what is fetched for them will be read again, or its neighbourhood.
        """
        for start, stop in ranges:
            if not 0 <= start <= stop <= self.size:
                raise CorruptResultError(
                    f"{self._what} says that bytes {start} to {stop} are part of it, but it has "
                    f"{self.size}."
                )
            self.transfer.asked += stop - start
        found = [_cut(self._kept, one) for one in ranges]
        missing = [one for one, piece in zip(ranges, found, strict=True) if piece is None]
        if keep:
            missing = [
                (start, min(max(stop, start + _AHEAD), self.size)) for start, stop in missing
            ]
        fetched = self._fetch(_merge(missing))
        if keep:
            self._kept = sorted([*self._kept, *fetched])
        return [
            cast(memoryview, _cut(fetched, one) if piece is None else piece)
            for one, piece in zip(ranges, found, strict=True)
        ]

    def _open(self) -> None:
        threshold = parse_bytes(dask.config.get("servicex-layer.range-threshold"))
        if self.size <= threshold:
            body, _ = self._get({}, 0)
            self._keep_all(body)
        else:
            tail = max(self.size - _TAIL, _HEAD)
            self._kept = self._fetch([(0, _HEAD), (tail, self.size)])

    def _keep_all(self, body: bytes) -> None:
        self.size = _checked(len(body), self._file, self._what)
        self._kept = [(0, body)]

    def _fetch(self, ranges: Sequence[Range]) -> list[Piece]:
        if len(ranges) < 2:
            return [self._fetch_one(one) for one in ranges]
        with ThreadPoolExecutor(min(len(ranges), _CONNECTIONS)) as pool:
            return list(pool.map(self._fetch_one, ranges))

    def _fetch_one(self, wanted: Range) -> Piece:
        start, stop = wanted
        body, whole = self._get({"Range": f"bytes={start}-{stop - 1}"}, stop - start)
        if not whole:
            return start, body
        # A store need not serve ranges (RFC 9110, 14.2): then this is all there is to fetch.
        self._keep_all(body)
        return start, body[start:stop]

    def _get(self, headers: dict[str, str], length: int) -> tuple[bytes, bool]:
        """Get a body, and whether it is the whole file; try again while that may help."""
        attempts = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_PassingError),
            wait=_pause,
            stop=tenacity.stop_after_delay(seconds("retry-timeout") or 0.0),
            reraise=True,
        )
        start = time.perf_counter()
        try:
            return attempts(self._attempt, headers, length)
        except _PassingError as error:
            raise error.kind(f"{self._what} could not be fetched: {error}.") from None
        finally:
            self.transfer.seconds += time.perf_counter() - start

    def _attempt(self, headers: dict[str, str], length: int) -> tuple[bytes, bool]:
        location = self._location
        self.transfer.requests += 1
        try:
            response = _pool().request(
                "GET",
                location.url,
                headers={"Accept-Encoding": "identity", **location.headers, **headers},
                timeout=urllib3.Timeout(http_timeout().connect, http_timeout().read),
                retries=urllib3.Retry(
                    0, redirect=3, remove_headers_on_redirect=[*location.headers]
                ),
            )
        except urllib3.exceptions.LocationParseError:
            raise MissingObjectError(
                f"{self._what} could not be fetched: what the backend gave is no URL."
            ) from None
        except urllib3.exceptions.HTTPError as error:
            # The error's own text holds the URL, and the URL its signature.
            raise _PassingError(f"the connection failed ({type(_cause(error)).__name__})") from None
        self.transfer.received += len(response.data)
        self._check(response, location, headers.get("Range"), length)
        return response.data, response.status == HTTPStatus.OK

    def _check(
        self, response: urllib3.BaseHTTPResponse, location: Location, asked: str | None, length: int
    ) -> None:
        status = response.status
        said = f"the object store answered {status} {response.reason or ''}".rstrip()
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            self._renew(location, said)
        if status == HTTPStatus.NOT_FOUND or status in PASSING:
            # Servers of 2024 report a result before they have uploaded it.
            raise _PassingError(said, after=retry_after(response.headers))
        if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise CorruptResultError(
                f"{self._what} has less than the {self._file.size} bytes that the backend reported."
            )
        if status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
            raise MissingObjectError(f"{self._what} could not be fetched: {said}.")
        if status == HTTPStatus.PARTIAL_CONTENT:
            first = asked.removeprefix("bytes=") if asked else "nothing"
            given = response.headers.get("Content-Range", "")
            if not given.startswith(f"bytes {first}/") or len(response.data) != length:
                raise _PassingError(
                    f"bytes {first} were asked for and {given!r} came", CorruptResultError
                )
            total = given.partition("/")[2]
            if total.isdecimal():
                self.size = _checked(int(total), self._file, self._what)
        etag = response.headers.get("ETag")
        if self._etag is not None and etag != self._etag:
            raise CorruptResultError(f"{self._what} changed in the object store as it was read.")
        self._etag = etag

    def _renew(self, refused: Location, said: str) -> None:
        if refused is self._location:
            renewed = self._locate(refused.url)
            if renewed.url == refused.url:
                raise MissingObjectError(f"{self._what} could not be fetched: {said}.")
            self._location = renewed
        raise _PassingError(f"{said} to the URL that the backend gave", after=0.0)


class Local:
    """One result on a file system that this machine sees, mapped into memory.

    Parameters
    ----------
    file : ResultFile
        Which result.
    path : str
        Where it is.
    what : str
        Which result, for errors.

    Raises
    ------
    CorruptResultError
        Where it is shorter than was announced.
    MissingObjectError
        Where there is no such file.
    """

    transfer: Transfer

    def __init__(self, file: ResultFile, path: str, what: str) -> None:
        self.transfer = Transfer()
        self._what = what
        try:
            with open(path, "rb") as opened:  # noqa: PTH123  (a name may hold anything)
                self.size = os.fstat(opened.fileno()).st_size
                # Nothing cannot be mapped.
                self._body = (
                    mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) if self.size else b""
                )
        except OSError as error:
            raise MissingObjectError(
                f"{what} cannot be read from {path}: {error.strerror}."
            ) from error
        _checked(self.size, file, what)

    def read(self, ranges: Sequence[Range], *, keep: bool = False) -> list[memoryview]:
        """Read ranges of bytes, each from its first to before its last."""
        del keep
        self.transfer.asked += sum(stop - start for start, stop in ranges)
        body = memoryview(self._body)
        return [body[start:stop] for start, stop in ranges]


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


_exponential = tenacity.wait_random_exponential(multiplier=0.1, max=LONGEST_PAUSE)


def _pause(state: tenacity.RetryCallState) -> float:
    failure = state.outcome.exception() if state.outcome is not None else None
    if isinstance(failure, _PassingError) and failure.after is not None:
        return failure.after
    return _exponential(state)


def _checked(size: int, file: ResultFile, what: str) -> int:
    if size < file.size:
        raise CorruptResultError(f"{what} has {size} bytes, but the backend reported {file.size}.")
    return size


def _cause(error: urllib3.exceptions.HTTPError) -> BaseException:
    return getattr(error, "reason", None) or error


def _cut(pieces: Sequence[Piece], wanted: Range) -> memoryview | None:
    """Find a range in pieces that are in order; ``None`` where none holds all of it."""
    start, stop = wanted
    at = bisect.bisect_right(pieces, start, key=lambda piece: piece[0]) - 1
    if at < 0:
        return None
    begin, body = pieces[at]
    if stop > begin + len(body):
        return None
    return memoryview(body)[start - begin : stop - begin]


def _merge(ranges: Sequence[Range]) -> list[Range]:
    """Join ranges that touch, then those with the smallest gaps while these cost little."""
    joined: list[list[int]] = []
    for start, stop in sorted(ranges):
        if joined and start <= joined[-1][1]:
            joined[-1][1] = max(joined[-1][1], stop)
        else:
            joined.append([start, stop])
    budget = _WASTE * sum(stop - start for start, stop in joined)
    gaps = sorted((b[0] - a[1], i) for i, (a, b) in enumerate(pairwise(joined)))
    bridged = set()
    for gap, place in gaps:
        budget -= gap
        if budget < 0:
            break
        bridged.add(place)
    merged: list[Range] = []
    for place, (start, stop) in enumerate(joined):
        if place - 1 in bridged:
            merged[-1] = (merged[-1][0], stop)
        else:
            merged.append((start, stop))
    return merged


@functools.cache
def _pool() -> urllib3.PoolManager:
    """Give the process's connections to object stores."""
    pool = urllib3.PoolManager(maxsize=4 * _CONNECTIONS, ssl_context=tls())
    atexit.register(pool.clear)
    return pool
