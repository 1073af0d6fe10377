"""What every store of results offers: a protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from servicex_layer._model import Location, ResultRow, TransformStatus

__all__ = ["Store"]


class Store(Protocol):
    """The results of one request: which are finished, and where they are."""

    eventually_consistent: bool
    """Whether a result can appear here after the counters include it."""

    async def urls(self, names: Sequence[str], *, refused: bool = False) -> Mapping[str, Location]:
        """Return where results are; missing results may be left out.

        `refused` means that an earlier URL was refused when it was used.
        """
        ...

    async def list_finished(self, since: datetime | None) -> list[ResultRow]:
        """Return finished files in no particular order: at least those newer than `since`."""
        ...

    def expected_rows(self, status: TransformStatus) -> int:
        """Return how many rows `list_finished` has at least, by the counters of a status."""
        ...
