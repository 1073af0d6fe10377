"""From when on rows are listed, for each kind of store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from servicex_layer._model import ResultFile, ResultRow, TransformStatus
from servicex_layer.feed._ledger import Ledger
from servicex_layer.feed._listing import FullListing, OverlapWindow, has_all, open_listing
from servicex_layer.store import Store

TIME = datetime(2026, 11, 22, 19, 45, tzinfo=UTC)


class CountedStore:
    """A store whose rows are those that the counters count."""

    def __init__(self, *, eventually_consistent: bool = False) -> None:
        self.eventually_consistent = eventually_consistent

    def expected_rows(self, status: TransformStatus) -> int:
        return status.completed + status.failed


@pytest.fixture
def window() -> OverlapWindow:
    return OverlapWindow(cast("Store", CountedStore()))


def status_of(word: str, completed: int = 0, failed: int = 0) -> TransformStatus:
    return TransformStatus("a-request", word, files=9, completed=completed, failed=failed)


def row(number: int, *, success: bool = True) -> ResultRow:
    created_at = TIME + timedelta(seconds=number)
    file = ResultFile(number, created_at, f"{number}.root", f"{number}.in", 1, 1)
    return ResultRow(file, success=success)


def ledger_of(*rows: ResultRow) -> Ledger:
    ledger = Ledger()
    ledger.add_rows(rows)
    return ledger


@pytest.mark.parametrize(
    ("eventually_consistent", "kind"), [(False, OverlapWindow), (True, FullListing)]
)
def test_the_store_decides_how_rows_are_listed(eventually_consistent: bool, kind: type):
    store = CountedStore(eventually_consistent=eventually_consistent)
    assert type(open_listing(cast("Store", store))) is kind


def test_the_first_listing_is_from_the_start(window: OverlapWindow):
    assert list(window.windows(Ledger(), status_of("Running"), 2.0)) == [None]


def test_later_listings_overlap_the_last_one(window: OverlapWindow):
    since = list(window.windows(ledger_of(row(1), row(9)), status_of("Running", 2), 2.0))
    assert since == [TIME + timedelta(seconds=7)]


def test_missing_rows_widen_the_overlap_until_all_is_listed(window: OverlapWindow):
    ledger = ledger_of(row(9))
    overlaps = []
    for _ in range(20):
        (since,) = window.windows(ledger, status_of("Running", 2), 2.0)
        if since is None:
            break
        overlaps.append((TIME + timedelta(seconds=9) - since).total_seconds())
        window.adapt(2.0, missing=True)
    assert since is None
    assert overlaps[:4] == [2.0, 4.0, 8.0, 16.0]
    assert overlaps[-1] < 3600.0


def test_the_overlap_shrinks_to_the_least_one_when_no_row_is_missing(window: OverlapWindow):
    ledger = ledger_of(row(9))
    for missing in (True, True, True, False, False, False, False):
        window.adapt(2.0, missing=missing)
    (since,) = window.windows(ledger, status_of("Running", 1), 2.0)
    assert since == TIME + timedelta(seconds=7)


def test_an_ended_request_whose_rows_are_known_is_not_listed(window: OverlapWindow):
    ledger = ledger_of(row(1), row(2, success=False))
    assert not list(window.windows(ledger, status_of("Complete", 1, 1), 2.0))


def test_an_ended_request_is_listed_from_the_start_if_the_overlap_brings_too_few(
    window: OverlapWindow,
):
    ledger = ledger_of(row(9))
    listings = window.windows(ledger, status_of("Complete", 2), 2.0)
    assert next(listings) == TIME + timedelta(seconds=7)
    assert next(listings) is None
    assert list(listings) == []


def test_an_ended_request_is_listed_once_if_the_overlap_brings_the_rest(window: OverlapWindow):
    ledger = ledger_of(row(9))
    listings = window.windows(ledger, status_of("Complete", 2), 2.0)
    assert next(listings) is not None
    ledger.add_rows([row(8)])
    assert list(listings) == []


@pytest.mark.parametrize("word", ["Running", "Complete"])
def test_a_bucket_is_always_listed_whole(word: str):
    listing = FullListing(cast("Store", CountedStore(eventually_consistent=True)))
    listing.adapt(2.0, missing=False)
    assert list(listing.windows(ledger_of(row(1)), status_of(word, 1), 2.0)) == [None]


@pytest.mark.parametrize(
    ("rows", "is_whole"),
    [
        ([row(1), row(2)], True),
        ([row(1), row(2, success=False)], False),
        ([row(1)], False),
        ([row(1), row(2), row(3)], True),
    ],
)
def test_a_ledger_is_whole_if_it_has_all_counted_rows_and_successes(
    rows: list[ResultRow], is_whole: bool, window: OverlapWindow
):
    assert has_all(window, ledger_of(*rows), status_of("Running", 2)) is is_whole
