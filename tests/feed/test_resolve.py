from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from servicex_layer._model import NoFile, ResultFile, TransformStatus
from servicex_layer.errors import (
    CompletionOrderError,
    FailedFilesError,
    PartitionCountError,
    ProtocolError,
    ServiceXLayerError,
    TransformCanceledError,
)
from servicex_layer.feed._resolve import PENDING, Snapshot, resolve

TIME = datetime(2026, 11, 22, 19, 45, tzinfo=UTC)
FILES = tuple(ResultFile(i + 1, TIME, f"{i}.root", f"in{i}.root", 1, 1) for i in range(3))
RUNNING = TransformStatus("a-request", "Running", files=4, completed=3, failed=0)
COMPLETE = TransformStatus("a-request", "Complete", files=4, completed=3, failed=1)
SNAPSHOT = Snapshot(
    status=RUNNING,
    backend="a-backend",
    files=FILES,
    failures=(),
    repeated=(),
    withdrawn=(),
    rows=3,
    succeeded=3,
    expected_rows=3,
    counted_only=False,
    ended=False,
)
ENDED = replace(
    SNAPSHOT, status=COMPLETE, failures=("in3.root",), rows=4, expected_rows=4, ended=True
)
ALL_FAILED = replace(
    ENDED,
    status=replace(COMPLETE, files=2, completed=0, failed=2, failure_info="bad cut"),
    files=(),
    failures=("a", "b"),
    rows=2,
    succeeded=0,
    expected_rows=2,
)


def test_a_numbered_file_knows_its_number_and_its_format():
    snapshot = replace(SNAPSHOT, status=replace(RUNNING, result_format="parquet"))
    assert resolve(snapshot, 1, 4, 1.0) == replace(FILES[1], number=1, format="parquet")


def test_a_number_without_a_file_is_pending_until_the_end():
    assert resolve(SNAPSHOT, 3, 4, 1.0) is PENDING
    assert resolve(ENDED, 3, 4, 1.0) == NoFile(3, "in3.root")


def test_the_last_partition_waits_for_the_number_of_files():
    lookup = replace(SNAPSHOT, status=replace(RUNNING, status="Lookup", files=3))
    assert resolve(lookup, 2, 3, 1.0) is PENDING
    assert resolve(lookup, 1, 3, 1.0) == replace(FILES[1], number=1)


def test_an_object_that_is_not_counted_is_pending_if_it_may_be_no_result():
    lagging = replace(SNAPSHOT, counted_only=True, expected_rows=2)
    assert resolve(lagging, 1, 4, 1.0) == replace(FILES[1], number=1)
    assert resolve(lagging, 2, 4, 1.0) is PENDING


@pytest.mark.parametrize(
    ("snapshot", "npartitions", "max_failed", "error", "message"),
    [
        (ENDED, 3, 1.0, PartitionCountError, "4 files but the array has 3 partitions"),
        (ALL_FAILED, 4, 1.0, FailedFilesError, r"all 2 of 2 files failed: a, b\. .*: bad cut\."),
        (ENDED, 4, 0.0, FailedFilesError, r"1 of 4 files failed: in3\.root\. Leave"),
        (ENDED, 4, 0.2, FailedFilesError, "more than max_failed=0.2 allows"),
        (
            replace(ENDED, status=replace(COMPLETE, status="Canceled")),
            4,
            1.0,
            TransformCanceledError,
            "ended as Canceled",
        ),
        (replace(ENDED, rows=3, failures=()), 4, 1.0, ProtocolError, "lists 3 and 0"),
        (
            replace(ENDED, counted_only=True, rows=5, succeeded=5),
            4,
            1.0,
            ProtocolError,
            "its store has 5",
        ),
        (
            replace(ENDED, status=replace(COMPLETE, files=5)),
            5,
            1.0,
            ProtocolError,
            "Nothing is known of the others",
        ),
        (replace(ENDED, withdrawn=("0.root",)), 4, 1.0, ProtocolError, r"not any more: 0\.root"),
        (
            replace(ENDED, files=(FILES[0], None, FILES[2])),
            4,
            1.0,
            CompletionOrderError,
            "has as partition 1, so results of the two can't be combined",
        ),
    ],
)
def test_a_request_that_can_give_no_right_result_is_an_error(
    snapshot: Snapshot,
    npartitions: int,
    max_failed: float,
    error: type[ServiceXLayerError],
    message: str,
):
    with pytest.raises(error, match=message):
        resolve(snapshot, 3, npartitions, max_failed)


def test_a_canceled_request_still_has_its_finished_files():
    canceled = replace(ENDED, status=replace(COMPLETE, status="Canceled"))
    assert resolve(canceled, 0, 4, 1.0) == replace(FILES[0], number=0)
