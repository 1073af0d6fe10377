"""The bytes of one result: fetched whole, or only the ranges that are needed."""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, cast

import dask.config
from dask.utils import parse_bytes

from servicex_layer.errors import CorruptResultError, MissingObjectError
from servicex_layer.model import Location, ResultFile
from servicex_layer.object_store import StoredObject, Transfer, checked_size
from servicex_layer.ranges import Piece, Range, cut, merge, tidy

__all__ = ["Body", "Local", "Remote"]

# A first look at a large file takes both ends: there are the directory of a ROOT file and the
# footers of RNTuples and Parquet files. A read of what was not fetched takes what follows along.
_HEAD = 128 * 1024
_TAIL = 128 * 1024
_AHEAD = 32 * 1024
_CONNECTIONS = 16


class Body(Protocol):
    """The bytes of one result, wherever they are."""

    size: int
    transfer: Transfer

    def fetch(self, ranges: Iterable[Range]) -> None:
        """Have ranges at hand that will be read, all at once."""
        ...

    def read(self, start: int, stop: int) -> memoryview:
        """Read from the first byte of a range to before its last."""
        ...


class Remote:
    """One result in an object store, read by ranges of bytes.

    A small result is fetched whole. What was fetched is kept.

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
    size: int

    def __init__(
        self,
        file: ResultFile,
        location: Location,
        locate: Callable[[str | None], Location],
        what: str,
    ) -> None:
        self.transfer = Transfer()
        self._what = what
        self._object = StoredObject(file, location, locate, what, self.transfer)
        self._kept: list[Piece] = []
        self._open(file.size)
        self.size = self._object.size

    def fetch(self, ranges: Iterable[Range]) -> None:
        """Have ranges at hand that will be read, all at once."""
        wanted = list(ranges)
        for start, stop in wanted:
            _check_range(start, stop, self.size, self._what)
        self._fetch(wanted)

    def read(self, start: int, stop: int) -> memoryview:
        """Read from the first byte of a range to before its last."""
        _check_range(start, stop, self.size, self._what)
        self.transfer.asked += stop - start
        found = cut(self._kept, (start, stop))
        if found is None:
            self._fetch([(start, min(max(stop, start + _AHEAD), self.size))])
            found = cast(memoryview, cut(self._kept, (start, stop)))
        return found

    def _open(self, announced: int) -> None:
        if not announced:
            # Not every transformer tells the size: those of C++ say 0.
            self._fetch([(0, _HEAD)])
        size = self._object.size
        if size <= parse_bytes(dask.config.get("servicex-layer.range-threshold")):
            self._fetch([(0, size)])
        else:
            self._fetch([(0, min(_HEAD, size)), (max(size - _TAIL, 0), size)])

    def _fetch(self, ranges: Sequence[Range]) -> None:
        missing = merge(one for one in ranges if cut(self._kept, one) is None)
        if not missing:
            return
        start = time.perf_counter()
        if len(missing) == 1:
            pieces = [self._object.get(missing[0])]
        else:
            with ThreadPoolExecutor(min(len(missing), _CONNECTIONS)) as pool:
                pieces = list(pool.map(self._object.get, missing))
        self._kept = tidy([*self._kept, *pieces])
        self.transfer.seconds += time.perf_counter() - start


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
    size: int

    def __init__(self, file: ResultFile, path: str, what: str) -> None:
        self.transfer = Transfer()
        self._what = what
        try:
            with open(path, "rb") as opened:  # noqa: PTH123  (a name may hold anything)
                self.size = os.fstat(opened.fileno()).st_size
                # An empty file cannot be mapped.
                mapped = self.size and mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise MissingObjectError(
                f"{what} cannot be read from {path}: {error.strerror}."
            ) from error
        checked_size(self.size, file, what)
        self._body = memoryview(mapped or b"")

    def fetch(self, ranges: Iterable[Range]) -> None:
        """Do nothing: all is at hand."""

    def read(self, start: int, stop: int) -> memoryview:
        """Read from the first byte of a range to before its last."""
        _check_range(start, stop, self.size, self._what)
        self.transfer.asked += stop - start
        return self._body[start:stop]


def _check_range(start: int, stop: int, size: int, what: str) -> None:
    if not 0 <= start <= stop <= size:
        raise CorruptResultError(
            f"{what} says that bytes {start} to {stop} are part of it, but it has {size}."
        )
