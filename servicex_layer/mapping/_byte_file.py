"""The bytes of a result as a file object."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from servicex_layer.transport import ByteSource

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

    def readinto(self, buffer: Any) -> int:
        """See `io.RawIOBase.readinto`."""
        start = min(self._position, self._body.size)
        content = self._body.read(start, min(start + len(buffer), self._body.size))
        buffer[: len(content)] = content
        self._position = start + len(content)
        if self._after_read is not None:
            self._after_read()
        return len(content)
