"""A result that is being read: which file, where it is, and what reading it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from servicex_layer._model import Location, ResultFile

__all__ = ["ResultSource", "TransferStats"]


@dataclass(slots=True)
class TransferStats:
    """What getting the bytes of one result takes.

    Parameters
    ----------
    requests : int
        Number of calls to the object store.
    retries : int
        Number of those that repeat a call that failed.
    asked : int
        Bytes that were asked for: by Uproot, or pyarrow.
    received : int
        Bytes that came: over the wire, or from a file system.
    seconds : float
        Time spent on waiting for them.
    """

    requests: int = 0
    retries: int = 0
    asked: int = 0
    received: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ResultSource:
    """One result that is being read.

    Parameters
    ----------
    file : ResultFile
        Which file.
    locate : callable
        Gives its location; called with a URL where that was refused.
    what : str
        Which file, for errors.
    transfer : TransferStats
        What getting its bytes takes: counted here.
    """

    file: ResultFile
    locate: Callable[[str | None], Location]
    what: str
    transfer: TransferStats = field(default_factory=TransferStats)
