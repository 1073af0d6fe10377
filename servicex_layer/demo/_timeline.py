"""When what happened: files finished and partitions computed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from servicex_layer.backend import RestClient

__all__ = ["Timeline", "follow"]

# Seconds between two looks.
_PAUSE = 0.2


@dataclass(frozen=True)
class Timeline:
    """Times of a run, in seconds since the submission.

    Parameters
    ----------
    made : float
        The lazy array was there.
    files : sequence of float
        Each file was finished, by ServiceX's own account.
    partitions : sequence of float
        Each partition was computed.
    ready : float
        The result was there.
    """

    made: float
    files: Sequence[float]
    partitions: Sequence[float]
    ready: float


async def follow(rest: RestClient, request_id: str, show: Callable[[int], None]) -> list[datetime]:
    """Show how many files of a request are finished, until it is over; then tell when each was."""
    async with rest.connected():
        while True:
            status = await rest.status(request_id)
            show(status.completed)
            if status.is_terminal:
                rows = await rest.results(request_id)
                return sorted(row.file.created_at for row in rows if row.success)
            await asyncio.sleep(_PAUSE)
