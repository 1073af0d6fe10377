from __future__ import annotations

import queue
from pathlib import Path

import pytest
import uproot
from reading.results import RecordingBytes  # type: ignore[import-not-found]
from uproot.source.chunk import Chunk

from servicex_layer.reading._uproot_adapter import UprootSource


def test_uproot_reads_through_the_source(one_tree: Path):
    body = RecordingBytes(one_tree)
    file = uproot.reading.ReadOnlyFile("a name", handler=UprootSource, body=body)
    assert file.file_path == "a name"
    assert file.source.num_bytes == body.size
    assert file.root_directory["events"]["x"].array().to_list() == [0, 1, 2, 3]
    with pytest.raises(uproot.KeyInFileError, match="a name"):
        file.root_directory["nope"]


def test_chunks_are_prefetched_and_end_with_the_file(one_tree: Path):
    body = RecordingBytes(one_tree)
    source = UprootSource("a", body=body)
    assert source.chunk(0, 4).raw_data.tobytes() == b"root"
    assert source.chunk(body.size - 2, body.size + 100).stop == body.size
    notifications: queue.Queue[Chunk] = queue.Queue()
    chunks = source.chunks([(0, 4), (10, 20)], notifications)
    assert [chunk.stop - chunk.start for chunk in chunks] == [4, 10]
    assert [notifications.get_nowait() for _ in chunks] == chunks
    assert body.fetches == [[(0, 4), (10, 20)]]
