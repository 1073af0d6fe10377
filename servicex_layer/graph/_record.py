"""A record of what happened to one file."""

from __future__ import annotations

import math
import threading
import time
from typing import Any

import awkward as ak
from awkward.contents import Content, IndexedOptionArray, RecordArray
from awkward.index import Index64

from servicex_layer._model import NoFile, ResultFile
from servicex_layer.feed import this_worker
from servicex_layer.transport import TransferStats

__all__ = ["record", "record_meta"]


def record(
    file: ResultFile | NoFile,
    transfer: TransferStats,
    seconds: float,
    *,
    partition: int | None = None,
    read_at: float | None = None,
) -> ak.Array:
    """Record what happened to a file, or to a partition without one.

    Parameters
    ----------
    file : ResultFile or NoFile
        The file.
    transfer : TransferStats
        The transfer of its bytes.
    seconds : float
        Seconds spent on reading it, without the wait for the file.
    partition : int, optional
        The partition's number, if partitions hold several files.
    read_at : float, optional
        When it was read, in Unix seconds. Defaults to now.

    Returns
    -------
    awkward.Array
        One record with these fields:

        ``partition``
            The partition's number; with several files per partition, each has a record.
        ``input``, ``name``
            Path of the input file, and name of the result in the object store; ``None`` if there
            is no file.
        ``failed``
            Without a result the input file that failed; ``None`` otherwise.
        ``reason``
            Why it failed, with the URL of the logs; ``None`` if the backend does not say.
        ``finished_at``
            When the file was finished, in Unix seconds by the server's clock; NaN if there is no
            file.
        ``events``, ``size``
            Number of events that the transformer counted, -1 if unknown, and size of the result in
            bytes.
        ``asked``, ``read``
            Number of bytes that the reader asked for, and that were transferred.
        ``requests``
            Number of calls to the object store for them.
        ``tries``
            1, plus 1 for each of these calls that was repeated.
        ``waited``, ``transferred``, ``interpreted``
            Seconds spent on waiting for the file, on transferring its bytes, and on making an
            array of them.
        ``read_at``
            When the array was made, in Unix seconds by the worker's clock.
        ``worker``
            Address of the Dask worker; without a cluster the name of the thread.
    """
    fields: dict[str, Any] = {"partition": file.number if partition is None else partition}
    if isinstance(file, ResultFile):
        fields |= {
            "input": file.input,
            "name": file.name,
            "failed": None,
            "reason": None,
            "finished_at": file.created_at.timestamp(),
            "events": -1 if file.events is None else file.events,
            "size": file.size,
        }
    else:
        fields |= {
            "input": None,
            "name": None,
            "failed": file.failed,
            "reason": file.reason,
            "finished_at": math.nan,
            "events": 0,
            "size": 0,
        }
    fields |= {
        "asked": transfer.asked,
        "read": transfer.received,
        "requests": transfer.requests,
        "tries": 1 + transfer.retries,
        "waited": file.waited,
        "transferred": transfer.seconds,
        "interpreted": max(seconds - transfer.seconds, 0.0),
        "read_at": time.time() if read_at is None else read_at,
        "worker": _worker_or_thread(),
    }
    optional = ("input", "name", "failed", "reason")
    contents = [
        _optional_string(value) if name in optional else _array_of_one(value)
        for name, value in fields.items()
    ]
    return ak.Array(RecordArray(contents, list(fields)))


def record_meta() -> ak.Array:
    """Return the typetracer of a record."""
    return ak.to_backend(record(NoFile(0), TransferStats(), 0.0), "typetracer")


def _worker_or_thread() -> str:
    worker = this_worker()
    return threading.current_thread().name if worker is None else worker.address


def _array_of_one(value: Any) -> Content:
    return ak.from_iter([value], highlevel=False)


def _optional_string(value: str | None) -> Content:
    # Also for a value: the type is the same in all partitions.
    return IndexedOptionArray(Index64([-1 if value is None else 0]), _array_of_one(value or ""))
