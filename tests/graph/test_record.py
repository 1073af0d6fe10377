from __future__ import annotations

import pickle
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
from dask.base import compute
from optional_dask_awkward import dak  # type: ignore[import-not-found]

from servicex_layer import from_servicex
from servicex_layer.errors import BackendError, UnknownRequestError
from servicex_layer.local import Faults, HttpFault, LocalServiceX
from servicex_layer.report import failures

FORM = "{x: float64, n: int32, v: var * float64}"


@pytest.mark.dask_awkward
@pytest.mark.every_scheduler
def test_a_report_has_one_record_per_partition(
    service: LocalServiceX, finished: Callable[..., str], inputs: list[Path], scheduler: str
):
    before = datetime.now(UTC).timestamp()
    request_id = finished(inputs)
    events, report = from_servicex(request_id, report=True)
    assert len(report) == report.npartitions == len(inputs)
    total, records = compute(ak.sum(events.x), report)
    assert total == sum(100 * file + event for file in range(4) for event in range(10))
    assert records.type == ak.types.ArrayType(report.type.content, len(inputs))
    assert records.partition.to_list() == [0, 1, 2, 3]
    assert records.input.to_list() == [str(path) for path in inputs]
    assert records.failed.to_list() == [None] * 4
    assert records.events.to_list() == [10] * 4
    assert ak.all((before < records.finished_at) & (records.finished_at < before + 600))
    assert ak.all(records.read == records.size)
    assert ak.all(records.size > 0)
    assert records.requests.to_list() == records.tries.to_list() == [1] * 4
    for seconds in (records.transferred, records.interpreted):
        assert ak.all((seconds > 0) & (seconds < 60))
    assert ak.all((records.waited >= 0) & (records.waited < 60))
    assert all(records.worker.to_list())
    if scheduler.startswith("cluster"):
        assert all("://" in worker for worker in records.worker.to_list())


@pytest.mark.dask_awkward
def test_empty_partitions_name_the_failed_inputs(
    use_service: Callable[[LocalServiceX], None], inputs: list[Path]
):
    with LocalServiceX(faults=Faults(failing={1, 3})) as service:
        use_service(service)
        request_id = service.submit(inputs, tree="events", manual=True)
        for index in (2, 1, 3, 0):
            service.release(request_id, index)
        events, report = from_servicex(request_id, form=FORM, report=True)
        with pytest.warns(UserWarning, match="2 of 4 files failed"):
            array, records = compute(events, report, scheduler="sync")
        failed = failures(request_id)
    assert len(array) == 20
    assert records.input.to_list() == [str(inputs[2]), str(inputs[0]), None, None]
    assert records.failed.to_list()[:2] == [None, None]
    assert sorted(records.failed.to_list()[2:]) == [str(inputs[1]), str(inputs[3])]
    assert records.events.to_list() == [10, 10, 0, 0]
    assert records.read.to_list()[2:] == records.requests.to_list()[2:] == [0, 0]
    assert np.isnan(records.finished_at).to_list() == [False, False, True, True]
    assert sorted(failed) == [str(inputs[1]), str(inputs[3])]


@pytest.mark.dask_awkward
def test_a_record_has_the_time_of_the_wait(
    service: LocalServiceX, submit: Callable[..., str], inputs: list[Path], in_thread: Any
):
    request_id = submit(inputs[:2])
    _, report = from_servicex(request_id, form=FORM, report=True)
    result = in_thread(lambda: report.compute(scheduler="threads"))
    service.release(request_id, 1)
    service.release(request_id, 0)
    records = result()
    assert records.input.to_list() == [str(inputs[1]), str(inputs[0])]
    assert ak.all(records.waited > 0)


@pytest.mark.dask_awkward
def test_a_record_counts_tries(use_service: Callable[[LocalServiceX], None], inputs: list[Path]):
    faults = Faults(http=[HttpFault(route="file", status=503, first=2)])
    with LocalServiceX(faults=faults) as service:
        use_service(service)
        events, report = from_servicex(
            service.submit(inputs, tree="events"), form=FORM, report=True
        )
        array, records = compute(events.x, report, scheduler="sync")
    assert len(array) == 40
    assert sum(records.tries) == 4 + 2
    assert sum(records.requests) == 6


@pytest.mark.dask_awkward
def test_a_report_is_lazy_and_reads_no_column(
    service: LocalServiceX, finished: Callable[..., str], inputs: list[Path]
):
    events, report = from_servicex(finished(inputs), form=FORM, report=True)
    assert not service.traffic.files
    assert [*dak.necessary_columns(events.x + 1).values()] == [{"x"}]
    assert [*dak.necessary_columns(report).values()] == [frozenset()]
    assert report.read[1:3].partitions[0].compute(scheduler="sync") is not None
    assert ak.sum(report.events).compute(scheduler="sync") == 40


@pytest.mark.dask_awkward
def test_array_and_report_survive_a_pickle(finished: Callable[..., str], inputs: list[Path]):
    pair = from_servicex(finished(inputs), form=FORM, report=True)
    events, report = pickle.loads(pickle.dumps(pair))  # noqa: S301
    array, records = compute(events, report, scheduler="sync")
    assert (len(array), len(records)) == (40, 4)


@pytest.mark.dask_awkward
def test_a_request_without_files_has_a_record_without_input(service: LocalServiceX):
    events, report = from_servicex(service.submit([], tree="events"), report=True)
    array, records = compute(events, report, scheduler="sync")
    assert (len(array), records.input.to_list()) == (0, [None])


def test_failures_of_an_unknown_request_are_an_error(service: LocalServiceX):
    with pytest.raises(UnknownRequestError):
        failures("7a0e5e0c-0000-0000-0000-000000000000")


def test_failures_are_an_error_if_the_backend_does_not_list_them(
    use_service: Callable[[LocalServiceX], None], inputs: list[Path]
):
    with LocalServiceX(version=2024, store="s3") as service:
        use_service(service)
        request_id = service.submit(inputs, tree="events")
        with pytest.raises(BackendError, match="does not list which files"):
            failures(request_id)
