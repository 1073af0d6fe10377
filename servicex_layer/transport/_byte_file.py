"""The bytes of a result as a file object."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from servicex_layer.transport._byte_source import ByteSource

__all__ = ["ByteFile"]


class ByteFile(io.RawIOBase):
    """The bytes of a result as a file object.

    Parameters
    ----------
    body : ByteSource
        The bytes.
    after_read : callable, optional
        Called after each read.
    """

    def __init__(self, body: ByteSource, after_read: Callable[[], None] | None = None) -> None:
        super().__init__()
        self._body = body
        self._after_read = after_read
        self._position = 0

    def readable(self) -> bool:
        """See `io.IOBase.readable`."""
        return True

    def seekable(self) -> bool:
        """See `io.IOBase.seekable`."""
        return True

    def tell(self) -> int:
        """See `io.IOBase.tell`."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """See `io.IOBase.seek`."""
        size = self._body.size
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: size}[whence]
        self._position = max(base + offset, 0)
        return self._position

    def read_buffer(self, size: int = -1) -> memoryview:
        """Read without a copy. pyarrow calls this in place of `read` if a file has it."""
        end = self._body.size
        start = min(self._position, end)
        stop = end if size < 0 else min(start + size, end)
        self._position = stop
        content = self._body.read(start, stop)
        if self._after_read is not None:
            self._after_read()
        return content

    def readinto(self, buffer: Any) -> int:
        """See `io.RawIOBase.readinto`."""
        content = self.read_buffer(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def readall(self) -> bytes:
        """See `io.RawIOBase.readall`."""
        return bytes(self.read_buffer())
