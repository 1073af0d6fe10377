"""How the rows of a request are listed: a strategy for each kind of store."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Protocol

from servicex_layer._model import TransformStatus
from servicex_layer.feed._ledger import Ledger
from servicex_layer.store import Store

__all__ = ["FullListing", "Listing", "OverlapWindow", "has_all", "open_listing"]

# An overlap that is longer, in seconds, lists from the start.
_LONGEST_OVERLAP = 3600.0


class Listing(Protocol):
    """What can be relied on when a store lists rows, and from when on to list them."""

    status_can_wait: bool
    """Whether new rows can be listed without fetching the status first."""
    counted_only: bool
    """Whether only as many rows as the counters count are sure to be results."""
    can_lag: bool
    """Whether a row can still appear after the request is complete."""

    def expected_rows(self, status: TransformStatus) -> int:
        """Return how many rows there are by the counters of a status."""
        ...

    def windows(
        self, ledger: Ledger, status: TransformStatus, overlap: float
    ) -> Iterator[datetime | None]:
        """Yield from when on to list rows, once per call; ``None`` lists from the start.

        The rows of a window are in the ledger before the next one is asked for.

        Parameters
        ----------
        ledger : Ledger
            The rows so far.
        status : TransformStatus
            The last status.
        overlap : float
            The least overlap with the last listing, in seconds.
        """
        ...

    def adapt(self, overlap: float, *, missing: bool) -> None:
        """Widen the window if rows are `missing` by counters that were fetched before listing."""
        ...


class OverlapWindow:
    """Lists from a little before the newest known row; for rows that the backend lists.

    Rows are committed before they are counted, and the counters were fetched first. So each
    counted row is visible, and a row that is missing became visible behind the window.

    Parameters
    ----------
    store : Store
        The store.
    """

    status_can_wait = True
    counted_only = False
    can_lag = False

    def __init__(self, store: Store) -> None:
        self.expected_rows = store.expected_rows
        self._overlap = 0.0

    def windows(
        self, ledger: Ledger, status: TransformStatus, overlap: float
    ) -> Iterator[datetime | None]:
        """See `Listing.windows`."""
        if not status.is_terminal:
            yield self._since(ledger.newest, overlap)
        elif not self._agrees(ledger, status):
            yield self._since(ledger.newest, overlap)
            if not self._agrees(ledger, status):
                yield None

    def adapt(self, overlap: float, *, missing: bool) -> None:
        """See `Listing.adapt`."""
        overlap = max(self._overlap, overlap)
        self._overlap = min(max(2 * overlap, 1.0), _LONGEST_OVERLAP) if missing else overlap / 2

    def _since(self, newest: datetime | None, overlap: float) -> datetime | None:
        overlap = max(self._overlap, overlap)
        if newest is None or overlap >= _LONGEST_OVERLAP:
            return None
        return newest - timedelta(seconds=overlap)

    def _agrees(self, ledger: Ledger, status: TransformStatus) -> bool:
        counted = self.expected_rows(status), status.completed
        return (ledger.rows, ledger.succeeded) == counted


class FullListing:
    """Lists everything each time; for a bucket, which is listed in the order of its names.

    A result can appear there after it is counted, and an object that is never counted may be none.

    Parameters
    ----------
    store : Store
        The store.
    """

    status_can_wait = False
    counted_only = True
    can_lag = True

    def __init__(self, store: Store) -> None:
        self.expected_rows = store.expected_rows

    def windows(
        self, ledger: Ledger, status: TransformStatus, overlap: float
    ) -> Iterator[datetime | None]:
        """See `Listing.windows`."""
        del ledger, status, overlap
        yield None

    def adapt(self, overlap: float, *, missing: bool) -> None:
        """See `Listing.adapt`; there is nothing to adapt."""
        del overlap, missing


def open_listing(store: Store) -> Listing:
    """Return the strategy for a store."""
    return FullListing(store) if store.eventually_consistent else OverlapWindow(store)


def has_all(listing: Listing, ledger: Ledger, status: TransformStatus) -> bool:
    """Return whether a ledger has all rows that a status counts."""
    expected = listing.expected_rows(status)
    return ledger.rows >= expected and ledger.succeeded >= status.completed
