"""Every file is read once, with late and tied rows, lagging counters and failing files."""

from __future__ import annotations

import numpy as np
import pytest
from dask.base import compute

import servicex_layer as sxl
from servicex_layer.errors import FailedFilesWarning
from servicex_layer.local import Faults, LocalServiceX

pytestmark = pytest.mark.dask_awkward

COUNT = 30
FAILING = frozenset({3, 17})


@pytest.fixture(scope="module")
def numbered(tmp_path_factory, write_file):
    directory = tmp_path_factory.mktemp("numbered")
    return [
        write_file(directory / f"{index}.root", events={"event": np.arange(3) + 10 * index})
        for index in range(COUNT)
    ]


@pytest.fixture(scope="module")
def unruly_service():
    faults = Faults(
        late=0.3,
        late_by=1.5,
        whole_seconds=True,
        counter_lag=0.5,
        failing=FAILING,
        clock_offset=60.0,
    )
    with LocalServiceX(
        delay=0.1, lookup_time=0.2, seed=7, authentication=True, faults=faults
    ) as service:
        yield service


@pytest.mark.every_scheduler
def test_every_successful_file_is_read_once(scheduler, unruly_service, use_service, numbered):
    use_service(unruly_service)
    request_id = unruly_service.submit(numbered, tree="events")
    events = sxl.from_servicex(request_id, form="{event: int64}")
    with pytest.warns(FailedFilesWarning, match=f"{request_id}: 2 of {COUNT} files failed"):
        partitions = compute(*events.event.to_delayed())
    events_read = [partition.tolist() for partition in partitions]
    expected = [
        [10 * index + i for i in range(3)] for index in range(COUNT) if index not in FAILING
    ]
    assert sorted(events_read[: len(expected)]) == expected
    assert events_read[len(expected) :] == [[]] * len(FAILING)
    assert partitions[-1].type.content == partitions[0].type.content


@pytest.mark.parametrize("size", [2, 7, COUNT + 10])
@pytest.mark.parametrize("scheduler", ["threads", "cluster_of_processes"], indirect=True)
def test_partitions_of_several_files_hold_every_successful_file_once(
    scheduler, unruly_service, use_service, numbered, size
):
    use_service(unruly_service)
    request_id = unruly_service.submit(numbered, tree="events")
    events = sxl.from_servicex(request_id, form="{event: int64}", files_per_partition=size)
    with pytest.warns(FailedFilesWarning, match=f"{request_id}: 2 of {COUNT} files failed"):
        partitions = compute(*events.event.to_delayed())
    one_by_one = sxl.from_servicex(request_id, form="{event: int64}").event.compute()
    assert np.concatenate(partitions).tolist() == one_by_one.tolist()
    expected = [10 * index + i for index in range(COUNT) if index not in FAILING for i in range(3)]
    assert sorted(one_by_one.tolist()) == expected
