"""The adapter between pyarrow and a `ByteSource`."""

from __future__ import annotations

import io

from servicex_layer.transport import ByteSource

__all__ = ["ArrowFile"]


class ArrowFile(io.RawIOBase):
    """A file object for `pyarrow.PythonFile`.

    Parameters
    ----------
    body : ByteSource
        The bytes.
    """

    def __init__(self, body: ByteSource) -> None:
        super().__init__()
        self._body = body
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._body.size}[whence]
        self._position = base + offset
        return self._position

    def read(self, size: int = -1) -> memoryview:
        # pyarrow takes a view in place of bytes, which saves a copy.
        start = self._position
        stop = self._body.size if size < 0 else min(start + size, self._body.size)
        self._position = max(start, stop)
        return self._body.read(start, self._position)
