"""Partitions that hold several files."""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Callable, Iterator
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

import awkward as ak
import dask
import numpy as np
import pytest
import uproot
from dask.base import compute, persist
from dask.graph_manipulation import bind, clone
from dask.highlevelgraph import HighLevelGraph
from dask.local import get_sync
from distributed import Client, LocalCluster
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optional_dask_awkward import dak  # type: ignore[import-not-found]

from servicex_layer import (
    SXFileLayer,
    UprootLoadLayer,
    deliver,
    from_servicex,
    nanoevents,
    report,
)
from servicex_layer.errors import FailedFilesWarning, InvalidArgumentError, SchemaMismatchError
from servicex_layer.local import Faults, LocalServiceX

FORMATS = ["root-file", "root-rntuple", "parquet"]
FORM = "{x: float64, n: int32, v: var * float64}"
COUNT = 7
SIZES = [2, 3, COUNT, COUNT + 3]
REQUEST = "b5901cca-9858-42e7-a093-0929cf391f0e"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Seven files of different lengths, the third of which is empty."""
    directory = tmp_path_factory.mktemp("several")
    paths = []
    for number in range(COUNT):
        events = 0 if number == 2 else 3 + number
        paths.append(directory / f"{number}.root")
        with uproot.recreate(paths[-1]) as file:
            tree = file.mktree("events", {"x": "f8", "n": "i4", "v": "var * float64"})
            tree.extend(
                {
                    "x": 100.0 * number + np.arange(events),
                    "n": np.arange(events, dtype=np.int32),
                    "v": ak.values_astype(
                        ak.Array([[0.0]] + [[number + 0.5] * (e % 3) for e in range(events)])[1:],
                        np.float64,
                    ),
                }
            )
    return paths


def eager(paths: list[Path]) -> Any:
    return ak.concatenate([uproot.open(path)["events"].arrays(["x", "n", "v"]) for path in paths])


# Partitions


@pytest.mark.dask_awkward
@pytest.mark.parametrize("result_format", FORMATS)
@pytest.mark.parametrize("size", SIZES)
def test_partitions_hold_the_files_in_their_order(
    finished: Callable[..., str], files: list[Path], size: int, result_format: str
):
    request_id = finished(files, result_format=result_format)
    events = from_servicex(request_id, form=FORM, files_per_partition=size)
    assert events.npartitions == ceil(COUNT / size)
    partitions = compute(*events.to_delayed(), scheduler="sync")
    for number, partition in enumerate(partitions):
        expected = eager(files[number * size : (number + 1) * size])
        assert partition.type.content == partitions[0].type.content
        assert partition.tolist() == expected.tolist()
    one_by_one = from_servicex(request_id, form=FORM).compute(scheduler="sync")
    assert events.compute(scheduler="sync").tolist() == one_by_one.tolist()


@pytest.mark.dask_awkward
@pytest.mark.every_scheduler
def test_a_running_request_is_read_once_on_every_scheduler(
    scheduler: str, use_service: Callable[[LocalServiceX], None], files: list[Path]
):
    with LocalServiceX(delay=0.05, lookup_time=0.1, seed=7, authentication=True) as service:
        use_service(service)
        request_id = service.submit(files, tree="events")
        events = from_servicex(request_id, form=FORM, files_per_partition=3)
        x, v = compute(events.x, events.v)
    assert sorted(x.tolist()) == eager(files).x.tolist()
    assert ak.sum(v) == pytest.approx(ak.sum(eager(files).v))


@pytest.mark.dask_awkward
@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(order=st.permutations(range(COUNT)), size=st.integers(1, COUNT + 1))
def test_any_order_and_any_size_hold_every_file_once(
    service: LocalServiceX,
    submit: Callable[..., str],
    files: list[Path],
    order: list[int],
    size: int,
):
    request_id = submit(files)
    for index in order:
        service.release(request_id, index)
    events = from_servicex(request_id, form=FORM, files_per_partition=size)
    partitions = compute(*events.x.to_delayed(), scheduler="sync")
    read = [partition.tolist() for partition in partitions]
    ordered = [files[index] for index in order]
    assert read == [
        eager(ordered[start : start + size]).x.tolist() for start in range(0, COUNT, size)
    ]


@pytest.mark.dask_awkward
def test_a_partition_waits_for_all_its_files(
    service: LocalServiceX,
    submit: Callable[..., str],
    files: list[Path],
    in_thread: Any,
    until: Any,
):
    request_id = submit(files)
    events = from_servicex(request_id, form=FORM, files_per_partition=3)
    first = in_thread(partial(events.partitions[0].x.compute, scheduler="threads"))
    service.release(request_id, 5)
    service.release(request_id, 4)
    calls = service.traffic.calls["status"]
    until(lambda: service.traffic.calls["status"] > calls + 1)
    service.release(request_id, 3)
    assert first().tolist() == eager([files[5], files[4], files[3]]).x.tolist()
    # The last partition has one file, and doesn't wait for more.
    last = in_thread(partial(events.partitions[2].x.compute, scheduler="threads"))
    for index in (0, 1, 2, 6):
        service.release(request_id, index)
    assert last().tolist() == eager(files[6:]).x.tolist()


@pytest.mark.dask_awkward
@pytest.mark.parametrize("scheduler", ["sync", "threads", "cluster_of_processes"], indirect=True)
def test_failed_files_leave_the_others_of_their_partition(
    scheduler: str, use_service: Callable[[LocalServiceX], None], files: list[Path]
):
    failing = {1, 4, 5}
    with LocalServiceX(faults=Faults(failing=failing), authentication=True) as service:
        use_service(service)
        request_id = service.submit(files, tree="events")
        events, lazy = from_servicex(request_id, form=FORM, report=True, files_per_partition=3)
        with pytest.warns(FailedFilesWarning, match=f"{request_id}: 3 of {COUNT} files failed"):
            x, records = compute(events.x, lazy)
    kept = [path for index, path in enumerate(files) if index not in failing]
    assert sorted(x.tolist()) == eager(kept).x.tolist()
    assert records.partition.tolist() == [0, 0, 0, 1, 1, 1, 2]
    assert sorted(filter(None, records.failed.tolist())) == [str(files[i]) for i in failing]
    assert ak.is_none(records.name).tolist() == [False] * 4 + [True] * 3
    text = report.summary(records)
    assert text.startswith(f"4 of {COUNT} files in 3 partitions have a result, {len(x)} events")
    assert report.timeline(records).axes[0].get_title("left").startswith(f"{COUNT} files on")


@pytest.mark.dask_awkward
def test_an_error_of_one_file_is_raised(
    finished: Callable[..., str], files: list[Path], tmp_path: Path, write_file: Callable[..., Path]
):
    other = write_file(tmp_path / "other.root", events={"y": np.arange(3.0)})
    request_id = finished([*files[:4], other])
    events = from_servicex(request_id, form=FORM, files_per_partition=5)
    with pytest.raises(SchemaMismatchError, match="The column 'x'"):
        events.x.compute(scheduler="sync")


@pytest.mark.dask_awkward
def test_a_request_without_files_has_no_events(service: LocalServiceX):
    request_id = service.submit([], tree="events")
    events, lazy = from_servicex(request_id, report=True, files_per_partition=4)
    assert events.npartitions == 1
    array, records = compute(events, lazy, scheduler="sync")
    assert len(array) == 0
    assert len(records) == 1


# Columns


@pytest.mark.dask_awkward
@pytest.mark.parametrize("result_format", FORMATS)
def test_only_the_needed_columns_are_read(
    finished: Callable[..., str], files: list[Path], result_format: str
):
    events = from_servicex(
        finished(files, result_format=result_format), form=FORM, files_per_partition=4
    )
    ((columns),) = dak.necessary_columns(events.x).values()
    assert set(columns) == {"x"}
    assert events.x.compute(scheduler="sync").tolist() == eager(files).x.tolist()
    lengths = ak.num(events.v)
    assert lengths.compute(scheduler="sync").tolist() == ak.num(eager(files).v).tolist()


@pytest.mark.dask_awkward
@pytest.mark.parametrize("result_format", FORMATS)
@pytest.mark.parametrize("column", ["n", "v"])
def test_a_column_that_projection_missed_is_read_late(
    finished: Callable[..., str], files: list[Path], result_format: str, column: str
):
    array = from_servicex(
        finished(files, result_format=result_format), form=FORM, files_per_partition=4
    )
    layer: Any = array.dask.layers[array.name]
    partition = layer.project_manually(frozenset({"x"})).io_func(0)
    copy = pickle.loads(pickle.dumps(partition))  # noqa: S301
    for each in (partition, copy, partition[1:][:-1]):
        assert each.x.tolist() == eager(files[:4]).x.tolist()[slice(*_slice_of(each))]
        assert each[column].tolist() == eager(files[:4])[column].tolist()[slice(*_slice_of(each))]


def _slice_of(array: Any) -> tuple[int | None, int | None]:
    return (None, None) if len(array) == 13 else (1, -1)


@pytest.mark.dask_awkward
@pytest.mark.parametrize("result_format", FORMATS)
def test_items_of_lists_are_read_late(
    finished: Callable[..., str], files: list[Path], result_format: str
):
    array = from_servicex(
        finished(files, result_format=result_format), form=FORM, files_per_partition=4
    )
    lengths: Any = dak.map_partitions(_num_and_sum_late, array, meta=ak.num(array.v)._meta)
    assert lengths.compute(scheduler="sync").tolist() == ak.num(eager(files).v).tolist()


def _num_and_sum_late(events: Any) -> Any:
    lengths = ak.num(events.v)
    if ak.backend(events) != "typetracer":
        assert len(ak.flatten(events.v)) == ak.sum(lengths)
    return lengths


@pytest.mark.dask_awkward
@pytest.mark.parametrize("result_format", FORMATS[:2])
@pytest.mark.parametrize("columns", ["projected", "late"])
@pytest.mark.filterwarnings("ignore:Missing cross-reference")
def test_cross_references_of_nanoevents_count_through_all_files(
    finished: Callable[..., str], tmp_path: Path, result_format: str, columns: str
):
    pytest.importorskip("coffea")
    paths = []
    for number, counts in enumerate([[1, 2, 0], [0, 3, 1], [2, 2, 1]]):
        jets = ak.unflatten(np.arange(sum(counts), dtype=np.float32) + 100 * number, counts)
        last_jets = ak.local_index(jets)[:, -1:]
        paths.append(tmp_path / f"nano-{number}.root")
        with uproot.recreate(paths[-1]) as file:
            file.mktree(
                "Events",
                {
                    "run": np.ones(3, np.uint32),
                    "luminosityBlock": np.ones(3, np.uint32),
                    "event": np.arange(3, dtype=np.uint64),
                    "Jet": ak.zip(dict.fromkeys(["pt", "eta", "phi", "mass"], jets)),
                    "Muon": ak.zip(
                        {
                            "jetIdx": ak.values_astype(last_jets, np.int32),
                            "charge": ak.values_astype(last_jets, np.int32),
                            **dict.fromkeys(["pt", "eta", "phi", "mass"], jets[:, -1:]),
                        }
                    ),
                },
            )
    request_id = finished(paths, tree="Events", result_format=result_format)
    one_by_one: Any = nanoevents(request_id)
    several: Any = nanoevents(request_id, files_per_partition=2)
    if columns == "late":
        layer = several.dask.layers[several.name]
        first = layer.project_manually(frozenset({"nMuon"})).io_func(0)
        expected = one_by_one.partitions[:2].compute(scheduler="sync")
        assert first.Muon.jetIdx.tolist() == expected.Muon.jetIdx.tolist()
        assert first.Jet.pt.tolist() == expected.Jet.pt.tolist()
        return
    assert several.npartitions == 2
    expected = one_by_one.Muon.matched_jet.pt.compute(scheduler="sync")
    assert several.Muon.matched_jet.pt.compute(scheduler="sync").tolist() == expected.tolist()
    assert several.Jet.pt.compute(scheduler="sync").tolist() == [
        jets for path in paths for jets in uproot.open(path)["Events"]["Jet_pt"].array().tolist()
    ]


# Collections


@pytest.mark.dask_awkward
def test_divisions_partitions_copies_and_concatenation(
    finished: Callable[..., str], files: list[Path]
):
    with dask.config.set(scheduler="sync"):
        request_id = finished(files)
        events = from_servicex(request_id, form=FORM, files_per_partition=3)
        expected = eager(files)
        third = events.partitions[2]
        assert third.x.compute().tolist() == eager(files[6:]).x.tolist()
        both = dak.concatenate([events, from_servicex(request_id, form=FORM)])
        assert both.x.compute().tolist() == expected.x.tolist() * 2
        assert clone(events).x.compute().tolist() == expected.x.tolist()
        assert bind(events, third).x.compute().tolist() == expected.x.tolist()
        (persisted,) = persist(events)
        assert persisted.v.compute().tolist() == expected.v.tolist()
        events.eager_compute_divisions()
        ends = [0, len(eager(files[:3])), len(eager(files[:6])), len(expected)]
        assert events.divisions == tuple(ends)
        assert events[ends[1]].x.compute() == 300.0


@pytest.mark.dask_awkward
def test_the_report_has_one_record_per_file(
    finished: Callable[..., str], files: list[Path], service: LocalServiceX
):
    request_id = finished(files)
    events, lazy = from_servicex(request_id, form=FORM, report=True, files_per_partition=3)
    assert lazy.divisions == (0, 3, 6, 7)
    with dask.config.set(scheduler="sync"):
        assert lazy[6].partition.compute() == 2
        x, records = compute(events.x, lazy)
        assert lazy.partitions[1].input.compute().tolist() == list(map(str, files[3:6]))
    assert len(x) == len(eager(files))
    assert records.input.tolist() == list(map(str, files))
    assert records.partition.tolist() == [0, 0, 0, 1, 1, 1, 2]
    assert all(value > 0 for value in records.read.tolist())


@pytest.mark.dask_awkward
def test_deliver_makes_partitions_of_several_files(service: LocalServiceX, files: list[Path]):
    pytest.importorskip("servicex")
    from servicex import dataset, query

    spec = {
        "Sample": [
            {
                "Name": "signal",
                "Dataset": dataset.FileList(list(map(str, files))),
                "Query": query.UprootRaw({"treename": "events"}),
            }
        ]
    }
    samples = deliver(spec, form=FORM, files_per_partition=4)
    assert samples["signal"].npartitions == 2
    total = samples["signal"].x.compute(scheduler="sync")
    assert sorted(total.tolist()) == eager(files).x.tolist()


# Layers by hand


@pytest.mark.parametrize("fuse", [False, True])
def test_layers_by_hand_read_several_files(
    finished: Callable[..., str],
    files: list[Path],
    graph_by_hand: Callable[..., HighLevelGraph],
    fuse: bool,
):
    layer = SXFileLayer(finished(files), 2, files_per_partition=4)
    load = UprootLoadLayer(layer, form=FORM, fuse=fuse)
    graph = graph_by_hand(layer, load)
    first, second = get_sync(graph, [(load.name, 0), (load.name, 1)])
    assert first.tolist() == eager(files[:4]).tolist()
    assert second.tolist() == eager(files[4:]).tolist()


def test_a_layer_of_files_is_small_and_says_how_many_files_a_partition_has():
    layer = SXFileLayer(REQUEST, 100_000, files_per_partition=30, file_count=2_999_999)
    assert len(pickle.dumps(layer)) < 1000
    assert repr(layer) == f"SXFileLayer<{REQUEST} 100000 of 100000 partitions, 30 files each>"
    load = UprootLoadLayer(layer, form=FORM)
    assert repr(load) == f"UprootLoadLayer<{REQUEST} 100000 partitions, 30 files each>"
    for each in (layer, load):
        assert each.layer_info_dict()["files per partition"] == "30"


def test_the_number_of_files_per_partition_is_in_the_key():
    names = {SXFileLayer(REQUEST, 3, files_per_partition=size).name for size in (1, 2, 3)}
    assert len(names) == 3
    assert SXFileLayer(REQUEST, 3, files_per_partition=1).name == SXFileLayer(REQUEST, 3).name


@pytest.mark.parametrize("size", [0, -1, 1.5, True, None, "2"])
def test_another_number_of_files_per_partition_is_an_error(size: Any):
    with pytest.raises(InvalidArgumentError, match=r"files_per_partition=.* positive integer"):
        SXFileLayer(REQUEST, 3, files_per_partition=size)


@pytest.mark.dask_awkward
@pytest.mark.parametrize("size", [0, True])
def test_the_number_is_validated_before_the_backend_is_asked(size: Any):
    with pytest.raises(InvalidArgumentError, match="files_per_partition"):
        from_servicex(REQUEST, files_per_partition=size)


@pytest.mark.parametrize("count", [0, 5, 10, True, 8.0])
def test_another_number_of_files_than_there_is_room_for_is_an_error(count: Any):
    with pytest.raises(InvalidArgumentError, match=r"file_count=.* from 7 to 9"):
        SXFileLayer(REQUEST, 3, files_per_partition=3, file_count=count)


# Clusters


@pytest.fixture
def lone_worker(nothing_left: None) -> Iterator[Client]:
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.mark.dask_awkward
def test_a_wait_for_several_files_holds_no_thread_and_ends_when_cancelled(
    lone_worker: Client,
    service: LocalServiceX,
    submit: Callable[..., str],
    files: list[Path],
    until: Any,
):
    request_id, cancelled_id = submit(files), submit(files)
    future = lone_worker.compute(
        ak.sum(from_servicex(request_id, form=FORM, files_per_partition=3).x)
    )
    cancelled = lone_worker.compute(
        ak.sum(from_servicex(cancelled_id, form=FORM, files_per_partition=3).x)
    )
    until(lambda: _waits(lone_worker) >= 6)
    assert lone_worker.submit(sum, [1, 2]).result(timeout=30) == 3
    lone_worker.cancel(cancelled)
    until(lambda: _waits(lone_worker) == 3)
    for index in range(COUNT):
        service.release(request_id, index)
    assert future.result(timeout=60) == ak.sum(eager(files).x)


def _waits(client: Client) -> int:
    (count,) = client.run(lambda dask_worker: len(dask_worker.state.long_running)).values()
    return int(count)


@pytest.mark.dask_awkward
def test_a_killed_worker_changes_nothing(
    nothing_left: None, service: LocalServiceX, submit: Callable[..., str], files: list[Path]
):
    request_id = submit(files)
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        events = from_servicex(request_id, form=FORM, files_per_partition=2)
        future = client.compute(events.x)
        for index in range(4):
            service.release(request_id, index)
        pids = client.run(os.getpid)
        os.kill(next(iter(pids.values())), getattr(signal, "SIGKILL", signal.SIGTERM))
        for index in range(4, COUNT):
            service.release(request_id, index)
        assert future.result(timeout=90).tolist() == eager(files).x.tolist()
