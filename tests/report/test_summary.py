from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import awkward as ak
import pytest
from dask.base import compute
from wire_faults import ExtraKeys, WireFault, WireFaults  # type: ignore[import-not-found]

from servicex_layer import from_servicex, report
from servicex_layer.errors import FailedFilesWarning
from servicex_layer.local import Faults, LocalServiceX

pytestmark = pytest.mark.dask_awkward


def test_the_summary_has_files_bytes_times_workers_and_failed_inputs(
    records: ak.Array, inputs: list[Path]
):
    files, transfer, seconds, workers, failed, reason = report.summary(records).splitlines()
    assert files == "3 of 4 partitions have a file, 30 events"
    megabytes = f"{sum(records.read) / 1e6:.2f}"
    assert transfer == (
        f"{megabytes} of {megabytes} MB were transferred, in 5 calls, 2 of them retries"
    )
    assert seconds.startswith(f"seconds: {sum(records.waited):.1f} waiting for files, ")
    assert workers == f"workers: {len(set(records.worker.to_list()))}"
    assert failed == f"failed: {inputs[1]}"
    assert reason.startswith("reason: The server says: ")


def test_the_summary_says_why_files_failed(
    use_service: Callable[[LocalServiceX], None], inputs: list[Path]
):
    reason = {"failure-info": "no branch JetPt", "log-url": "https://logs.example/17"}
    faults = WireFaults(WireFault(route="status", effect=ExtraKeys(reason)))
    with LocalServiceX(faults=Faults(failing={1}), middleware=faults.middleware) as service:
        use_service(service)
        request_id = service.submit(inputs, tree="events")
        events, lazy = from_servicex(request_id, form="{x: float64}", report=True)
        with pytest.warns(FailedFilesWarning, match="no branch JetPt.*https://logs.example/17"):
            records = compute(events.x, lazy, scheduler="threads")[1]
    assert report.summary(records).splitlines()[-2:] == [
        f"failed: {inputs[1]}",
        "reason: The server says: no branch JetPt. Logs: https://logs.example/17",
    ]


def test_the_summary_names_ten_failed_files_and_counts_the_others(records: ak.Array):
    (failed,) = (row for row in records.to_list() if row["failed"])
    many = ak.Array(
        [{**failed, "failed": f"{number}.root", "reason": None} for number in range(12)]
    )
    last = report.summary(many).splitlines()[-1]
    assert last.startswith("failed: 0.root, 1.root")
    assert last.endswith("9.root and 2 more")


def test_the_summary_says_how_many_files_have_unknown_lengths(records: ak.Array):
    rows = records.to_list()
    rows[0]["events"] = -1
    first = report.summary(ak.Array(rows)).splitlines()[0]
    assert first == "3 of 4 partitions have a file, 20 events (unknown for 1 files)"


def test_an_empty_report_has_a_summary(empty_records: ak.Array):
    summary = report.summary(empty_records)
    assert summary.startswith("0 of 1 partitions have a file, 0 events")
    assert report.summary(empty_records[:0]).startswith("0 of 0 partitions")


def test_files_are_read_after_servicex_finished_them(records: ak.Array):
    assert ak.all(records.read_at[:3] > records.finished_at[:3])
    assert ak.all(records.read_at < records.finished_at[0] + 600)
