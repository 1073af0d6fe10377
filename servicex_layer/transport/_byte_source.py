"""The bytes of one result: fetched whole, or only the ranges that are needed."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable, Sequence
from typing import Protocol, cast

from servicex_layer._config import n_bytes
from servicex_layer._model import Location
from servicex_layer.errors import CorruptResultError, MissingObjectError
from servicex_layer.transport._http_object import StoredObject, checked_size
from servicex_layer.transport._ranges import Piece, Range, cut, merge, tidy
from servicex_layer.transport._result import ResultSource, TransferStats

__all__ = ["ByteSource", "Local", "Remote"]

# A first look at a large file takes both ends: there are the directory of a ROOT file and the
# footers of RNTuples and Parquet files. A read of what was not fetched takes what follows along.
_HEAD = 128 * 1024
_TAIL = 128 * 1024
_AHEAD = 32 * 1024


class ByteSource(Protocol):
    """The bytes of one result, wherever they are."""

    size: int

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
    source : ResultSource
        Which result; its size decides how it is read.
    location : Location
        Where it is.

    Raises
    ------
    CorruptResultError
        Where what comes is not the result that was announced.
    MissingObjectError
        Where the store does not have it, or cannot be reached.
    """

    size: int
    transfer: TransferStats

    def __init__(self, source: ResultSource, location: Location) -> None:
        self.transfer = source.transfer
        self._what = source.what
        self._object = StoredObject(source, location)
        self._kept: list[Piece] = []
        self._open(source.file.size)
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
        if size <= n_bytes("range-threshold"):
            self._fetch([(0, size)])
        else:
            self._fetch([(0, min(_HEAD, size)), (max(size - _TAIL, 0), size)])

    def _fetch(self, ranges: Sequence[Range]) -> None:
        missing = merge(one for one in ranges if cut(self._kept, one) is None)
        if not missing:
            return
        self._kept = tidy([*self._kept, *self._object.get_all(missing)])


class Local:
    """One result on a file system that this machine sees, mapped into memory.

    Parameters
    ----------
    source : ResultSource
        Which result.
    path : str
        Where it is.

    Raises
    ------
    CorruptResultError
        Where it is shorter than was announced.
    MissingObjectError
        Where there is no such file.
    """

    size: int
    transfer: TransferStats

    def __init__(self, source: ResultSource, path: str) -> None:
        self.transfer = source.transfer
        self._what = source.what
        try:
            with open(path, "rb") as opened:  # noqa: PTH123  (a name may hold anything)
                self.size = os.fstat(opened.fileno()).st_size
                # An empty file cannot be mapped.
                mapped = self.size and mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise MissingObjectError(
                f"{source.what} cannot be read from {path}: {error.strerror}."
            ) from error
        checked_size(self.size, source)
        self._body = memoryview(mapped or b"")

    def fetch(self, ranges: Iterable[Range]) -> None:
        """Do nothing: all is at hand."""

    def read(self, start: int, stop: int) -> memoryview:
        """Read from the first byte of a range to before its last."""
        _check_range(start, stop, self.size, self._what)
        self.transfer.asked += stop - start
        self.transfer.received += stop - start
        return self._body[start:stop]


def _check_range(start: int, stop: int, size: int, what: str) -> None:
    if not 0 <= start <= stop <= size:
        raise CorruptResultError(
            f"{what} says that bytes {start} to {stop} are part of it, but it has {size}."
        )
