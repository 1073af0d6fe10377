"""What happened to one partition, as a record."""

from __future__ import annotations

import math
import threading
import time
from typing import Any

import awkward as ak
import numpy as np
from awkward.contents import Content, IndexedOptionArray, NumpyArray, RecordArray
from awkward.index import Index64

from servicex_layer._model import NoFile, ResultFile
from servicex_layer.feed import this_worker
from servicex_layer.transport import TransferStats

__all__ = ["record", "record_meta"]


def record(file: ResultFile | NoFile, transfer: TransferStats, seconds: float) -> ak.Array:
    """Record what happened to a partition.

    Parameters
    ----------
    file : ResultFile or NoFile
        Its file.
    transfer : TransferStats
        What getting the bytes took.
    seconds : float
        How long it took to read it, waiting for the file apart.

    Returns
    -------
    awkward.Array
        One record, with these fields:

        ``partition``
            Its number.
        ``input``, ``name``
            Path of the input file, and the result's name in the object store; ``None`` where
            there is no file.
        ``failed``
            Of an empty partition the input file that failed; ``None`` for all others.
        ``finished_at``
            When the file was finished, in Unix seconds by the server's clock; NaN where there is
            no file.
        ``events``, ``size``
            Number of events that the transformer counted, -1 where it does not tell, and the
            size of the result in bytes.
        ``asked``, ``read``
            Number of bytes that the reader asked for, and that were transferred.
        ``requests``
            Number of calls to the object store for them.
        ``tries``
            1, and 1 more for each of these calls that had to be made again.
        ``waited``, ``transferred``, ``interpreted``
            Seconds spent on waiting for the file to be finished, on getting the bytes, and on
            making an array of them.
        ``read_at``
            When the array had been made, in Unix seconds by the worker's clock.
        ``worker``
            Address of the Dask worker; without one the name of the thread.
    """
    known: dict[str, Any] = {"partition": file.number}
    if isinstance(file, ResultFile):
        known |= {
            "input": file.input,
            "name": file.name,
            "failed": None,
            "finished_at": file.created_at.timestamp(),
            "events": -1 if file.events is None else file.events,
            "size": file.size,
        }
    else:
        known |= {
            "input": None,
            "name": None,
            "failed": file.failed,
            "finished_at": math.nan,
            "events": 0,
            "size": 0,
        }
    known |= {
        "asked": transfer.asked,
        "read": transfer.received,
        "requests": transfer.requests,
        "tries": 1 + transfer.retries,
        "waited": file.waited,
        "transferred": transfer.seconds,
        "interpreted": max(seconds - transfer.seconds, 0.0),
        "read_at": time.time(),
        "worker": _where(),
    }
    optional = ("input", "name", "failed")
    contents = [_text(value) if name in optional else _one(value) for name, value in known.items()]
    return ak.Array(RecordArray(contents, list(known)))


def record_meta() -> ak.Array:
    """Give a record without its data.

    Returns
    -------
    awkward.Array
        A typetracer, as Dask wants it for the array of records.
    """
    return ak.to_backend(record(NoFile(0), TransferStats(), 0.0), "typetracer")


def _where() -> str:
    worker = this_worker()
    return threading.current_thread().name if worker is None else worker.address


def _one(value: Any) -> Content:
    if isinstance(value, str):
        return ak.from_iter([value], highlevel=False)
    return NumpyArray(np.array([value]))


def _text(value: str | None) -> Content:
    return IndexedOptionArray(Index64([-1 if value is None else 0]), _one(value or ""))
