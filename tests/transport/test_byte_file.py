from __future__ import annotations

import io

import pyarrow as pa

from servicex_layer.transport import ByteFile, OpenFileBytes


def file_of_100_bytes() -> ByteFile:
    return ByteFile(OpenFileBytes(io.BytesIO(bytes(range(100)))))


def test_file_seeks_and_reads():
    with file_of_100_bytes() as file:
        assert file.readable()
        assert file.seekable()
        assert file.seek(10) == file.tell() == 10
        assert file.read(5) == bytes(range(10, 15))
        assert file.seek(-10, io.SEEK_END) == 90
        assert file.read(100) == bytes(range(90, 100))
        assert file.read(1) == b""
        assert file.seek(-2, io.SEEK_CUR) == 98
        assert file.read() == bytes([98, 99])


def test_nothing_is_beyond_the_end():
    with file_of_100_bytes() as file:
        assert file.seek(200) == 200
        assert file.read() == b""


def test_python_can_buffer_the_file():
    with io.BufferedReader(file_of_100_bytes()) as file:
        assert file.peek(3)[:3] == file.read(3) == bytes([0, 1, 2])


def test_pyarrow_reads_without_a_copy():
    """Fails if pyarrow doesn't call `read_buffer` any more."""

    class CopyingIsAnError(ByteFile):
        def read(self, size: int = -1) -> bytes:
            raise AssertionError(f"pyarrow copies {size} bytes")

    file = CopyingIsAnError(OpenFileBytes(io.BytesIO(bytes(range(100)))))
    with pa.PythonFile(file, mode="r") as arrow_file:
        assert arrow_file.size() == 100
        arrow_file.seek(50)
        assert arrow_file.read_buffer(3).to_pybytes() == bytes([50, 51, 52])
