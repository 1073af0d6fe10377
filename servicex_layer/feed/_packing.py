"""Packs answers and batches of files for the way between processes."""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Sequence
from typing import Any

from servicex_layer._model import NoFile, ResultFile

__all__ = ["pack", "pack_batch", "unpack", "unpack_batch"]


def pack(answer: object) -> bytes:
    """Pack an answer, which may be an error.

    Pickled by hand: Dask serializes between processes but hands objects over between threads.
    """
    return pickle.dumps(answer)


def unpack(packed: bytes) -> Any:
    """Return an answer; raise it if it is an error."""
    answer = pickle.loads(packed)  # noqa: S301  (from this session's own processes)
    if isinstance(answer, Exception):
        raise answer
    return answer


def pack_batch(files: Sequence[ResultFile | NoFile]) -> bytes:
    """Pack a batch of files, compressed.

    Dask keeps the last 1000 messages of each stream: about 50 MB of batches per worker if they
    were not compressed, and a fifth of that if they are.
    """
    return zlib.compress(pickle.dumps(files), level=1)


def unpack_batch(packed: bytes) -> list[ResultFile | NoFile]:
    """Return a batch of files."""
    files: list[ResultFile | NoFile] = pickle.loads(zlib.decompress(packed))  # noqa: S301
    return files
