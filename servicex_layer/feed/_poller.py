"""Decides when to poll a request, how polling backs off, and which call comes next; no I/O."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from servicex_layer._config import Polling
from servicex_layer._model import TransformStatus
from servicex_layer.errors import WaitTimeoutError
from servicex_layer.feed._ledger import Ledger
from servicex_layer.feed._listing import Listing, has_all
from servicex_layer.net import Clock

__all__ = ["Call", "FetchStatus", "ListRows", "Pause", "Phase", "Poller", "Publish"]

# Polling backs off: the pause is this fraction of the time since the first poll, and this fraction
# of the time since anything changed, whichever is longer.
_BACKOFF_BY_AGE = 0.02
_BACKOFF_BY_IDLENESS = 0.1
# Files that keep coming are listed this often before the status is fetched again.
_ROWS_ONLY_POLLS = 5
# A poll that seems to take longer than its pause, or than this, in seconds: the machine slept.
_LONGEST_STEP = 1.0


class Phase(Enum):
    """What a poll asks for."""

    LOOKUP = auto()
    """The status and the rows; the number of files is not final."""
    STATUS_AND_ROWS = auto()
    """The status and the rows; the number of files is final."""
    ROWS_ONLY = auto()
    """The rows; the status is no news while files keep coming, and after the end."""
    ENDED = auto()
    """Nothing; nothing more is to be expected."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait until the next poll is due, for a time in seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class FetchStatus:
    """Fetch the status and hand it to `Poller.receive_status`."""


@dataclass(frozen=True, slots=True)
class ListRows:
    """List the rows that are newer than a time, and add them to the ledger."""

    since: datetime | None


@dataclass(frozen=True, slots=True)
class Publish:
    """Hand out what is known: the poll is over."""


Call = Pause | FetchStatus | ListRows | Publish


class Poller:
    """Polls one request: yields the calls to make, and takes their answers.

    Parameters
    ----------
    request_id : str
        The request, named in errors.
    ledger : Ledger
        The request's rows.
    polling : Polling
        How often to poll; may be replaced.
    clock : Clock
        What measures the time between polls.
    """

    phase: Phase
    polling: Polling
    status: TransformStatus | None
    """The last status that was fetched."""
    listing: Listing | None
    """How rows are listed; known with the first status."""

    def __init__(self, request_id: str, ledger: Ledger, polling: Polling, clock: Clock) -> None:
        self.phase = Phase.LOOKUP
        self.polling = polling
        self.status = None
        self.listing = None
        self._request_id = request_id
        self._ledger = ledger
        self._clock = clock
        self._began = 0.0
        self._last_poll: float | None = None
        self._pause = 0.0
        # Seconds waited since anything changed.
        self._idle = 0.0
        self._rows_only_polls = 0
        # How many rows the counters counted at the last listing.
        self._counted_when_listed = 0

    def receive_status(self, status: TransformStatus, listing: Listing) -> None:
        """Take the answer to `FetchStatus`."""
        self.status = status
        self.listing = listing

    def calls(self) -> Iterator[Call]:
        """Yield the calls to make, poll after poll; answers come in before the next call.

        Raises
        ------
        WaitTimeoutError
            If nothing has changed for longer than the timeout of `polling`. Only the time that was
            waited counts: not the time for which the machine slept.
        """
        self._idle = 0.0
        while True:
            self._pause = self._seconds_until_due()
            yield Pause(self._pause)
            status, rows, succeeded = self.status, self._ledger.rows, self._ledger.succeeded
            if self.phase in (Phase.LOOKUP, Phase.STATUS_AND_ROWS):
                yield FetchStatus()
            yield from self._listing_calls()
            changed = (status, rows, succeeded) != (
                self.status,
                self._ledger.rows,
                self._ledger.succeeded,
            )
            self._measure(changed=changed)
            self.phase = self._next_phase(changed=changed, grew=self._ledger.rows > rows)
            yield Publish()
            self._check_timeout()

    def _listing_calls(self) -> Iterator[ListRows]:
        status, listing = self._answers()
        overlap = self.polling.overlap
        expected = listing.expected_rows(status)
        counters_are_fresh = self.phase in (Phase.LOOKUP, Phase.STATUS_AND_ROWS)
        no_news = (
            counters_are_fresh
            and not status.is_terminal
            and has_all(listing, self._ledger, status)
            # Their sum alone shows no news: a row can be listed before it is counted, or never be.
            and self._ledger.rows >= expected == self._counted_when_listed
        )
        if no_news:
            return
        for since in listing.windows(self._ledger, status, overlap):
            yield ListRows(since)
        self._counted_when_listed = expected
        if counters_are_fresh:
            listing.adapt(overlap, missing=not has_all(listing, self._ledger, status))

    def _next_phase(self, *, changed: bool, grew: bool) -> Phase:
        status, listing = self._answers()
        self._rows_only_polls += 1
        if status.may_still_complete and changed:
            return Phase.STATUS_AND_ROWS
        if status.is_terminal:
            return Phase.ENDED if self._is_final(changed=changed) else Phase.ROWS_ONLY
        if self.phase is not Phase.ROWS_ONLY:
            self._rows_only_polls = 0
        if not status.file_count_final:
            return Phase.LOOKUP
        can_wait = listing.status_can_wait and self._rows_only_polls < _ROWS_ONLY_POLLS
        if grew and can_wait and self._ledger.rows < status.files:
            return Phase.ROWS_ONLY
        return Phase.STATUS_AND_ROWS

    def _is_final(self, *, changed: bool) -> bool:
        """Return whether no row of a request that has ended can appear any more."""
        status, listing = self._answers()
        if not listing.can_lag or status.status != "Complete":
            return True
        in_vain = not changed and self._idle >= self.polling.retry_timeout
        return in_vain or self._ledger.rows >= listing.expected_rows(status)

    def _answers(self) -> tuple[TransformStatus, Listing]:
        if self.status is None or self.listing is None:
            raise RuntimeError("a Poller gets the status first")
        return self.status, self.listing

    def _seconds_until_due(self) -> float:
        if self._last_poll is None:
            return 0.0
        age = self._last_poll - self._began
        pause = max(_BACKOFF_BY_IDLENESS * self._idle, _BACKOFF_BY_AGE * age, self.polling.interval)
        pause = min(pause, self.polling.interval_max)
        return max(self._last_poll + pause - self._clock.monotonic(), 0.0)

    def _measure(self, *, changed: bool) -> None:
        now = self._clock.monotonic()
        if self._last_poll is None:
            self._began = self._last_poll = now
        step = min(now - self._last_poll, max(self._pause, _LONGEST_STEP))
        self._idle = 0.0 if changed else self._idle + step
        self._last_poll = now

    def _check_timeout(self) -> None:
        timeout = self.polling.timeout
        if timeout is not None and self._idle >= timeout:
            raise WaitTimeoutError(
                f"Request {self._request_id}: nothing has happened for {self._idle:.0f} s (setting "
                f"servicex-layer.timeout). {self.status}."
            )
