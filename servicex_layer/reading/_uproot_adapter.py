"""The adapter between Uproot and a `ByteSource`."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from typing import Any, Self

from uproot.source.chunk import Chunk, Source

from servicex_layer.transport import ByteSource

__all__ = ["UprootSource"]


class UprootSource(Source):  # type: ignore[misc]
    """A ``handler`` for Uproot that reads from a `ByteSource`.

    Parameters
    ----------
    path : str
        Names the file in Uproot's errors.
    body : ByteSource
        The bytes.
    """

    closed = False

    def __init__(self, path: str, *, body: ByteSource, **_: Any) -> None:
        super().__init__()
        self._path = path
        self._body = body

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    @property
    def file_path(self) -> str:
        return self._path

    @property
    def num_bytes(self) -> int:
        return self._body.size

    def chunk(self, start: int, stop: int) -> Chunk:
        # Uproot asks for bytes beyond the end of a small file.
        stop = max(start, min(stop, self._body.size))
        return Chunk.wrap(self, self._body.read(start, stop), start)

    def chunks(
        self, ranges: Sequence[tuple[int, int]], notifications: queue.Queue[Chunk]
    ) -> list[Chunk]:
        self._body.fetch(ranges)
        chunks = [self.chunk(start, stop) for start, stop in ranges]
        for chunk in chunks:
            notifications.put(chunk)
        return chunks
