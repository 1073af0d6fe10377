"""Random access to the bytes of one file: in an object store, on a file system, or opened."""

from __future__ import annotations

import io
import mmap
import os
from collections.abc import Iterable, Sequence
from typing import BinaryIO, Protocol, cast

from servicex_layer._config import n_bytes
from servicex_layer._model import Location
from servicex_layer.errors import CorruptResultError, MissingObjectError
from servicex_layer.transport._http_object import HTTPObject, check_size
from servicex_layer.transport._ranges import Piece, Range, coalesce, drop_contained, find
from servicex_layer.transport._result import ResultSource, TransferStats

__all__ = ["ByteSource", "FileBytes", "ObjectBytes", "OpenFileBytes", "open_source"]

# Both ends of a large file are fetched when it is opened: they hold the directory of a ROOT file
# and the footers of RNTuples and Parquet files.
_END_SIZE = 128 * 1024
_READ_AHEAD = 32 * 1024


class ByteSource(Protocol):
    """Random access to the bytes of one file."""

    size: int
    """The size of the file in bytes."""

    def fetch(self, ranges: Iterable[Range]) -> None:
        """Prefetch ranges that will be read, all at once."""
        ...

    def read(self, start: int, stop: int) -> memoryview:
        """Read the bytes from `start` to before `stop`."""
        ...


class ObjectBytes:
    """One result in an object store, read by ranges of bytes.

    A result of at most ``range-threshold`` bytes is fetched whole. Fetched bytes are kept.

    Parameters
    ----------
    source : ResultSource
        The result.
    location : Location
        Its URL and headers.
    end_size : int
        How many bytes to fetch at each end of a large result when it is opened.
    read_ahead : int
        How many bytes to fetch at least if a read was not prefetched.

    Raises
    ------
    CorruptResultError
        If the store sends anything else than the result that the backend announced.
    MissingObjectError
        If the store does not have the result, or cannot be reached.
    """

    size: int
    transfer: TransferStats

    def __init__(
        self,
        source: ResultSource,
        location: Location,
        *,
        end_size: int = _END_SIZE,
        read_ahead: int = _READ_AHEAD,
    ) -> None:
        self.transfer = source.transfer
        self._description = source.description
        self._object = HTTPObject(source, location)
        self._read_ahead = read_ahead
        self._pieces: list[Piece] = []
        self._open(source.file.size, end_size)
        self.size = self._object.size

    def fetch(self, ranges: Iterable[Range]) -> None:
        """Prefetch ranges that will be read, all at once."""
        ranges = list(ranges)
        for start, stop in ranges:
            _check_range(start, stop, self.size, self._description)
        self._fetch_missing(ranges)

    def read(self, start: int, stop: int) -> memoryview:
        """Read the bytes from `start` to before `stop`."""
        _check_range(start, stop, self.size, self._description)
        self.transfer.asked += stop - start
        body = find(self._pieces, (start, stop))
        if body is None:
            self._fetch_missing([(start, min(max(stop, start + self._read_ahead), self.size))])
            body = cast(memoryview, find(self._pieces, (start, stop)))
        return body

    def _open(self, announced: int, end_size: int) -> None:
        if not announced:
            # C++ transformers report a size of 0: the first answer has the real one.
            self._fetch_missing([(0, end_size)])
        size = self._object.size
        if size <= n_bytes("range-threshold"):
            self._fetch_missing([(0, size)])
        else:
            self._fetch_missing([(0, min(end_size, size)), (max(size - end_size, 0), size)])

    def _fetch_missing(self, ranges: Sequence[Range]) -> None:
        missing = coalesce(item for item in ranges if find(self._pieces, item) is None)
        if missing:
            self._pieces = drop_contained([*self._pieces, *self._object.get_all(missing)])


class FileBytes:
    """One result on a file system that this machine sees, in memory.

    Parameters
    ----------
    source : ResultSource
        The result.
    path : str
        Its path.
    mapped : bool
        Whether the file is mapped into memory, not read as a whole. Not on Windows: nobody could
        remove it while an array refers to its bytes.

    Raises
    ------
    CorruptResultError
        If the file is shorter than the backend announced.
    MissingObjectError
        If the file is missing or cannot be read.
    """

    size: int
    transfer: TransferStats

    def __init__(
        self, source: ResultSource, path: str, *, mapped: bool = os.name == "posix"
    ) -> None:
        self.transfer = source.transfer
        self._description = source.description
        try:
            with open(path, "rb") as file:  # noqa: PTH123  (a volume's paths may hold anything)
                self.size = os.fstat(file.fileno()).st_size
                # An empty file cannot be mapped.
                if mapped and self.size:
                    body = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
                else:
                    body = memoryview(file.read())
        except OSError as error:
            raise MissingObjectError(
                f"{source.description} cannot be read from {path}: {error.strerror}."
            ) from error
        check_size(self.size, source)
        self._body = body

    def fetch(self, ranges: Iterable[Range]) -> None:
        """Do nothing: the file is in memory already."""

    def read(self, start: int, stop: int) -> memoryview:
        """Read the bytes from `start` to before `stop`."""
        _check_range(start, stop, self.size, self._description)
        self.transfer.asked += stop - start
        self.transfer.received += stop - start
        return self._body[start:stop]


class OpenFileBytes:
    """An open file that can seek, such as one of `fsspec`.

    Parameters
    ----------
    file : file object
        Opened for reading in binary mode; stays the caller's to close.
    """

    size: int

    def __init__(self, file: BinaryIO) -> None:
        self.size = file.seek(0, io.SEEK_END)
        self._file = file

    def fetch(self, ranges: Iterable[Range]) -> None:
        """Do nothing: the file has a cache of its own."""

    def read(self, start: int, stop: int) -> memoryview:
        """Read the bytes from `start` to before `stop`."""
        self._file.seek(start)
        return memoryview(self._file.read(stop - start))


def open_source(source: ResultSource) -> ByteSource:
    """Open the bytes of a result, wherever it is.

    Parameters
    ----------
    source : ResultSource
        The result.

    Raises
    ------
    CorruptResultError
        If it is not the file that the backend announced.
    MissingObjectError
        If it is not there.
    """
    location = source.locate(None)
    if location.path is None:
        return ObjectBytes(source, location)
    return FileBytes(source, location.path)


def _check_range(start: int, stop: int, size: int, description: str) -> None:
    if not 0 <= start <= stop <= size:
        raise CorruptResultError(
            f"{description} refers to its bytes {start} to {stop}, but has only {size}."
        )
