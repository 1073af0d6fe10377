from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
from reading.results import RecordingBytes  # type: ignore[import-not-found]

from servicex_layer.reading._pyarrow_adapter import ArrowFile


def test_file_seeks_and_reads(tmp_path: Path):
    (tmp_path / "a").write_bytes(bytes(range(100)))
    with ArrowFile(RecordingBytes(tmp_path / "a")) as file:
        assert file.readable()
        assert file.seekable()
        assert file.seek(10) == file.tell() == 10
        assert file.read(5) == bytes(range(10, 15))
        assert file.seek(-10, io.SEEK_END) == 90
        assert file.read(100) == bytes(range(90, 100))
        assert file.read(1).nbytes == 0
        assert file.seek(-2, io.SEEK_CUR) == 98
        assert file.read() == bytes([98, 99])


def test_pyarrow_reads_through_the_file(tmp_path: Path):
    (tmp_path / "a").write_bytes(bytes(range(100)))
    with pa.PythonFile(ArrowFile(RecordingBytes(tmp_path / "a")), mode="r") as file:
        assert file.size() == 100
        file.seek(50)
        assert file.read(3) == bytes([50, 51, 52])
