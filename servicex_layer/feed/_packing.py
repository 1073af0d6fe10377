"""Packs answers and batches of files for the way between processes."""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from servicex_layer._model import NoFile, ResultFile

__all__ = ["pack", "pack_batch", "unpack", "unpack_batch"]


class _PackedError(NamedTuple):
    """What `BaseException.__reduce__` returns."""

    make: Callable[..., Exception]
    arguments: tuple[Any, ...]
    attributes: Mapping[str, Any] = {}


def pack(answer: object) -> bytes:
    """Pack an answer, which may be an error.

    Pickled by hand: Dask serializes between processes but hands objects over between threads.

    An error travels without its causes. Newer versions of distributed have `pickle` include them,
    and the cause of a failed call holds locks, which don't pickle, and the token.
    """
    packed = _PackedError(*answer.__reduce__()) if isinstance(answer, Exception) else answer
    return pickle.dumps(packed)


def unpack(packed: bytes) -> Any:
    """Return an answer; raise it if it is an error."""
    answer = pickle.loads(packed)  # noqa: S301  (from this session's own processes)
    if isinstance(answer, _PackedError):
        error = answer.make(*answer.arguments)
        error.__dict__.update(answer.attributes)
        raise error
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
