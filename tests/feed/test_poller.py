from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from fake_clock import FakeClock  # type: ignore[import-not-found]

from servicex_layer._config import Polling
from servicex_layer._model import ResultFile, ResultRow, TransformStatus
from servicex_layer.errors import WaitTimeoutError
from servicex_layer.feed._ledger import Ledger
from servicex_layer.feed._listing import open_listing
from servicex_layer.feed._poller import FetchStatus, ListRows, Pause, Phase, Poller, Publish

TIME = datetime(2026, 11, 22, 19, 45, tzinfo=UTC)
POLLING = Polling(1.0, 10.0, 2.0, 5.0, 60.0, 3.0)


class AStore:
    """What a listing strategy is chosen by."""

    def __init__(self, *, eventually_consistent: bool = False) -> None:
        self.eventually_consistent = eventually_consistent

    def expected_rows(self, status: TransformStatus) -> int:
        return status.completed + (0 if self.eventually_consistent else status.failed)


def status_of(word: str, completed: int, files: int = 20) -> TransformStatus:
    return TransformStatus("a-request", word, files=files, completed=completed, failed=0)


class Session:
    """Answers a poller's calls, one poll after the other."""

    def __init__(self, *, eventually_consistent: bool = False) -> None:
        store: object = AStore(eventually_consistent=eventually_consistent)
        self.listing = open_listing(store)  # type: ignore[arg-type]
        self.ledger = Ledger()
        self.clock = FakeClock()
        self.poller = Poller("a-request", self.ledger, POLLING, self.clock)
        self._calls = self.poller.calls()

    def phase(self) -> Phase:
        return self.poller.phase

    def poll(self, status: TransformStatus, rows: int) -> list[str]:
        """Answer with a status, and with so many rows in all; return the calls."""
        made = []
        for call in self._calls:
            match call:
                case Pause(seconds):
                    self.clock.now += seconds
                case FetchStatus():
                    made.append("status")
                    self.poller.receive_status(status, self.listing)
                case ListRows(since):
                    made.append("rows" if since else "all rows")
                    self.ledger.add_rows(a_row(i) for i in range(rows))
                case Publish():
                    return made
        raise AssertionError("the calls ended")


def a_row(i: int) -> ResultRow:
    time = TIME + timedelta(seconds=i)
    return ResultRow(ResultFile(i + 1, time, f"{i}.root", f"in{i}.root", 1, 1), success=True)


def test_phases_from_the_lookup_to_the_end():
    session = Session()
    assert session.poll(status_of("Lookup", 0), 0) == ["status"]
    assert session.phase() is Phase.LOOKUP
    assert session.poll(status_of("Running", 1), 1) == ["status", "all rows"]
    assert session.phase() is Phase.ROWS_ONLY
    assert session.poll(status_of("Running", 1), 1) == ["rows"]
    assert session.phase() is Phase.STATUS_AND_ROWS
    assert session.poll(status_of("Complete", 20), 20) == ["status", "rows"]
    assert session.phase() is Phase.ENDED


def test_the_status_is_fetched_every_sixth_poll_while_files_keep_coming():
    session = Session()
    polls = [session.poll(status_of("Running", i + 1), i + 1) for i in range(13)]
    assert [("status" in poll) for poll in polls] == [i % 6 == 0 for i in range(13)]


def test_a_row_that_is_missing_widens_the_window_to_the_start():
    session = Session()
    session.poll(status_of("Running", 3), 2)
    for _ in range(20):
        if "all rows" in session.poll(status_of("Running", 3), 2):
            return
    raise AssertionError("rows were never listed from the start")


def test_rows_that_are_missing_at_the_end_are_listed_from_the_start():
    session = Session()
    session.poll(status_of("Running", 2), 2)
    session.poll(status_of("Running", 2), 2)
    assert session.poll(status_of("Complete", 3, 3), 2) == ["status", "rows", "all rows"]
    assert session.phase() is Phase.ENDED


def test_a_store_that_lags_is_listed_until_it_has_all_or_nothing_appears_for_long():
    session = Session(eventually_consistent=True)
    complete = status_of("Complete", 3, 3)
    assert session.poll(complete, 1) == ["status", "all rows"]
    assert session.poll(complete, 2) == ["all rows"]
    assert session.phase() is Phase.ROWS_ONLY
    for _ in range(3):
        session.poll(complete, 2)
    assert session.phase() is Phase.ENDED


def test_a_canceled_request_is_polled_until_nothing_changes():
    session = Session()
    session.poll(status_of("Running", 3), 3)
    session.poll(status_of("Canceled", 3), 3)
    assert session.phase() is Phase.STATUS_AND_ROWS
    session.poll(status_of("Canceled", 4), 4)
    assert session.phase() is Phase.STATUS_AND_ROWS
    session.poll(status_of("Canceled", 4), 4)
    assert session.phase() is Phase.ENDED


def test_a_canceled_request_can_become_complete():
    session = Session()
    session.poll(status_of("Canceled", 1, 2), 1)
    assert session.poll(status_of("Complete", 2, 2), 2) == ["status", "rows"]
    assert session.phase() is Phase.ENDED


def test_only_waiting_counts_towards_the_timeout():
    session = Session()
    running = status_of("Running", 0)

    def poll_often() -> None:
        for _ in range(60):
            session.poll(running, 0)

    for _ in range(5):
        session.poll(running, 0)
        session.clock.now += 3600.0
    with pytest.raises(WaitTimeoutError, match="setting servicex-layer"):
        poll_often()
