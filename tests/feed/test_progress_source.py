"""The progress of a request, wherever its list of files is kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from distributed import Client, LocalCluster

from servicex_layer import from_servicex
from servicex_layer.errors import UnknownBackendError
from servicex_layer.feed import progress_source


@pytest.mark.dask_awkward
@pytest.mark.parametrize("scheduler", ["sync", "cluster_of_threads"], indirect=True)
def test_only_reads_since_the_start_are_counted(
    scheduler: str, finished: Callable[..., str], inputs: list[Path]
):
    request_id = finished(inputs)
    events = from_servicex(request_id)
    events.x.compute()
    source = progress_source(request_id, None)
    before = source.read(0)
    assert (before.read, before.finished, before.status) == (4, 4, "Complete")
    assert source.read(before.reads).read == 0
    events.partitions[:3].x.compute()
    assert source.read(before.reads).read == 3
    source.close()


def test_a_closed_client_has_no_progress(
    cluster_of_threads: LocalCluster, finished: Callable[..., str], inputs: list[Path]
):
    request_id = finished(inputs)
    with Client(cluster_of_threads):
        source = progress_source(request_id, None)
        source.read(0)
    with pytest.raises(OSError, match="the client is closed"):
        source.read(0)


@pytest.mark.usefixtures("service")
def test_an_unknown_backend_has_no_progress():
    with pytest.raises(UnknownBackendError, match="elsewhere"):
        progress_source("a-request", "elsewhere")
