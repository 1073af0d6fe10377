"""One result to read: its file, its location, and the cost of reading it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from servicex_layer._model import Location, ResultFile

__all__ = ["ResultSource", "TransferStats"]


@dataclass(slots=True)
class TransferStats:
    """The cost of getting the bytes of one result.

    Parameters
    ----------
    requests : int
        Number of HTTP requests to the object store.
    retries : int
        Number of those that repeat a failed one.
    asked : int
        Bytes that Uproot or pyarrow asked for.
    received : int
        Bytes that came over the wire, or from a file system.
    seconds : float
        Time spent waiting for them.
    """

    requests: int = 0
    retries: int = 0
    asked: int = 0
    received: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ResultSource:
    """One result to read.

    Parameters
    ----------
    file : ResultFile
        The file.
    locate : callable
        Returns its location. Takes the URL that the store rejected, or ``None`` at first.
    description : str
        Names the file in errors, such as ``Result 'a.root' of request 5f1c0d3e``.
    transfer : TransferStats
        Counts what reading it costs.
    """

    file: ResultFile
    locate: Callable[[str | None], Location]
    description: str
    transfer: TransferStats = field(default_factory=TransferStats)
