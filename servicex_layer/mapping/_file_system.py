"""``servicex://backend@request/N-of-M``: the N-th file to be finished, for fsspec."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar

from fsspec.spec import AbstractFileSystem

from servicex_layer._model import NoFile, ResultFile
from servicex_layer.errors import InvalidArgumentError
from servicex_layer.feed import Feed, RequestRef, feed, interruptible_result
from servicex_layer.graph import result_source
from servicex_layer.transport import ByteFile, open_source

__all__ = ["ServiceXFileSystem", "url_of"]

# backend@request/N-of-M
_PATH = re.compile(r"(?:([^@/]+)@)?([^@/]+)/(\d+)-of-(\d+)")


def url_of(backend: str, request_id: str, number: int, count: int) -> str:
    """Return the URL of a file.

    Parameters
    ----------
    backend : str
        The backend's name in ``servicex.yaml``.
    request_id : str
        The request.
    number : int
        The file, from 0, in the order of completion.
    count : int
        The number of files of the request.

    Examples
    --------
    >>> url_of("uc-af", "5f1c0d3e", 0, 12)
    'servicex://uc-af@5f1c0d3e/0-of-12'
    """
    return f"servicex://{backend}@{request_id}/{number}-of-{count}"


class ServiceXFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """Result files by number, from 0, in the order of completion: read-only.

    Whatever needs a file waits until it is finished, in the thread that asks. What was fetched of a
    file is kept until `close`.

    Raises
    ------
    FileNotFoundError
        If fewer files were finished than the URL says: the others failed. coffea's `Runner` skips
        them with ``skipbadfiles=True``.
    InvalidArgumentError
        If a URL isn't ``servicex://backend@request/N-of-M``.
    """

    protocol: ClassVar[str] = "servicex"
    root_marker = ""
    # One for each open file: closing it lets go of the bytes.
    cachable = False

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._results: dict[str, _OpenResult] = {}

    def close(self) -> None:
        """Let go of all files."""
        while self._results:
            _, result = self._results.popitem()
            result.record_read()

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return path.removeprefix("servicex://").rstrip("/")

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Return the name, size in bytes and input of a file."""
        path = self._strip_protocol(path)
        opened = self._result(path)
        return {
            "name": path,
            "size": opened.body.size,
            "type": "file",
            "input": opened.source.file.input,
        }

    def exists(self, path: str, **_: Any) -> bool:
        """Return whether a file was finished rather than failed."""
        try:
            self.info(path)
        except FileNotFoundError:
            return False
        return True

    def cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **_: Any
    ) -> bytes:
        """Read a range of bytes of a file."""
        return self._result(self._strip_protocol(path)).read(start, end)

    def cat_ranges(
        self,
        paths: Sequence[str],
        starts: Sequence[int],
        ends: Sequence[int],
        *_: Any,
        **__: Any,
    ) -> list[bytes]:
        """Read ranges of bytes; those of one file are fetched at once."""
        ranges = [*zip(map(self._strip_protocol, paths), starts, ends, strict=True)]
        results = {path: self._result(path) for path, *_ in ranges}
        for path, result in results.items():
            result.fetch([(start, end) for of, start, end in ranges if of == path])
        return [results[path].read(start, end) for path, start, end in ranges]

    def _open(self, path: str, mode: str = "rb", **_: Any) -> ByteFile:
        if mode != "rb":
            raise InvalidArgumentError(
                f"servicex://{path} can only be read: open it with 'rb', not {mode!r}."
            )
        result = self._result(path)
        # Not when it is closed: coffea leaves that to the garbage collector.
        return ByteFile(result.body, after_read=result.record_read)

    def _result(self, path: str) -> _OpenResult:
        # Two threads can open a file twice, which costs only bytes.
        if path not in self._results:
            self._results[path] = _OpenResult(path)
        return self._results[path]


class _OpenResult:
    """A finished file and its bytes."""

    def __init__(self, path: str) -> None:
        match = _PATH.fullmatch(path)
        if match is None:
            raise InvalidArgumentError(
                f"'servicex://{path}' must be servicex://backend@request/N-of-M: the N-th of M "
                "files, from 0."
            )
        backend, request_id, number, count = match.groups()
        request = RequestRef(request_id, backend)
        self._feed = feed(request)
        file = _wait_for_file(self._feed, int(number), int(count))
        if isinstance(file, NoFile):
            reason = f"its input {file.failed} failed" if file.failed else "there are fewer files"
            raise FileNotFoundError(f"servicex://{path} has no result: {reason}.")
        self.source = result_source(file, request)
        self.body = open_source(self.source)
        self.size = self.body.size
        self._recorded_bytes = 0

    def fetch(self, ranges: Sequence[tuple[int, int]]) -> None:
        self.body.fetch([slice(*limits).indices(self.size)[:2] for limits in ranges])

    def read(self, start: int | None, stop: int | None) -> bytes:
        # Uproot asks for more than there is at the end of small files.
        first, last, _ = slice(start, stop).indices(self.size)
        return bytes(self.body.read(first, max(first, last)))

    def record_read(self) -> None:
        """Record the bytes transferred since the last call, for the request's progress."""
        received = self.source.transfer.received
        self._feed.record_read(self.source.file.number, received - self._recorded_bytes)
        self._recorded_bytes = received


def _wait_for_file(request_feed: Feed, number: int, count: int) -> ResultFile | NoFile:
    file = request_feed.get_nowait(number, count)
    if file is not None:
        return file
    pending = request_feed.submit(request_feed.get(number, count))
    try:
        return interruptible_result(pending)
    finally:
        pending.cancel()
