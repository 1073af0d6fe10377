"""The ``settle`` rule: numbering alike in processes that share no list."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from servicex_layer._model import ResultFile, ResultRow, TransformStatus
from servicex_layer.errors import CompletionOrderError
from servicex_layer.feed._ledger import Ledger
from servicex_layer.feed._listing import Listing

__all__ = ["SettledLedger", "SettledListing"]


class SettledLedger(Ledger):
    """A ledger that numbers a file once it is older than every row that may still appear.

    Parameters
    ----------
    request_id : str
        The request, named in errors.
    """

    settled_before: datetime | None
    """No row of an earlier time can appear; ``None`` if no row can appear at all."""

    def __init__(self, request_id: str) -> None:
        super().__init__()
        self.settled_before = None
        self._request_id = request_id
        self._times: dict[str, datetime] = {}
        self._pending: dict[str, ResultFile] = {}

    def add_rows(self, rows: Iterable[ResultRow]) -> None:
        """Add rows; see `Ledger.add_rows`.

        Raises
        ------
        CompletionOrderError
            If a new file belongs before a numbered one, or a known one got another time.
        """
        rows = list(rows)
        for row in rows:
            name, time = row.file.name, row.file.created_at
            if row.success and self._times.setdefault(name, time) != time and not row.file.id:
                raise self._error(f"{name!r} was written again")
        super().add_rows(rows)

    def end(self) -> None:
        """Number all that is left: no row can appear any more."""
        self.settled_before = None
        self._number(())

    def _number(self, files: Iterable[ResultFile]) -> None:
        for file in files:
            self._pending.setdefault(file.name, file)
        pending = sorted(self._pending.values(), key=lambda file: file.order)
        self._refuse_late(pending)
        settled = [
            file
            for file in pending
            if self.settled_before is None or file.created_at < self.settled_before
        ]
        for file in settled:
            del self._pending[file.name]
        super()._number(settled)

    def _refuse_late(self, pending: list[ResultFile]) -> None:
        if not self.files or not pending or pending[0].order > self.files[-1].order:
            return
        last = self.files[-1]
        late = [file for file in pending if file.order < last.order]
        raise self._error(
            f"the rows {[file.id or file.name for file in late]} "
            f"({late[0].created_at.isoformat()}) became visible after row {last.id or last.name} "
            f"({last.created_at.isoformat()}) had got its number"
        )

    def _error(self, reason: str) -> CompletionOrderError:
        return CompletionOrderError(
            f"Request {self._request_id}: {reason}, so that processes that share no list of "
            "finished files could number them differently. Compute once more, with a longer "
            "setting servicex-layer.settle, or on a cluster with servicex_layer.register(client)."
        )


class SettledListing:
    """A listing that shows whole what is about to be numbered.

    Parameters
    ----------
    listing : Listing
        The store's own.
    ledger : SettledLedger
        Learns up to which time rows are settled.
    settle : float
        The age, in seconds, at which no earlier row can appear any more.
    """

    status_can_wait = False
    shows_every_update = True

    def __init__(self, listing: Listing, ledger: SettledLedger, settle: float) -> None:
        self._listing = listing
        self._ledger = ledger
        self._settle = timedelta(seconds=settle)
        self._listed_before: datetime | None = None
        self.counted_only = listing.counted_only
        self.can_lag = listing.can_lag
        self.now = listing.now

    def expected_rows(self, status: TransformStatus) -> int:
        """See `Listing.expected_rows`."""
        return self._listing.expected_rows(status)

    def windows(
        self, ledger: Ledger, status: TransformStatus, overlap: float
    ) -> Iterator[datetime | None]:
        """See `Listing.windows`."""
        running = self.can_lag or not status.is_terminal
        self._ledger.settled_before = self.now() - self._settle if running else None
        last = self._listed_before
        for since in self._listing.windows(ledger, status, overlap):
            yield None if since is None or last is None else min(since, last)
        self._listed_before = self._ledger.settled_before
        if status.is_terminal and self._ledger.rows >= self.expected_rows(status):
            self._ledger.end()

    def adapt(self, overlap: float, *, missing: bool) -> None:
        """See `Listing.adapt`."""
        self._listing.adapt(overlap, missing=missing)
