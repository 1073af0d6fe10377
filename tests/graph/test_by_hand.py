"""The two layers in a graph made by hand, which needs no dask-awkward."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import dask.bag
import dask.threaded
import pytest
from dask.delayed import Delayed, delayed
from dask.highlevelgraph import HighLevelGraph
from dask.local import get_sync
from distributed import Client, LocalCluster

from servicex_layer import SXFileLayer, UprootLoadLayer, register
from servicex_layer.local import LocalServiceX

FORM = "{x: float64, n: int32, v: var * float64}"
BOTH = pytest.mark.parametrize("fuse", [False, True], ids=["two layers", "one layer"])

ByHand = tuple[HighLevelGraph, list[Any]]


@pytest.fixture
def by_hand(
    graph_by_hand: Callable[..., HighLevelGraph],
) -> Callable[..., ByHand]:
    """Return a graph of the two layers, and the keys of its partitions."""

    def by_hand(request_id: str, npartitions: int = 4, *, fuse: bool = False) -> ByHand:
        files = SXFileLayer(request_id, npartitions)
        load = UprootLoadLayer(files, form=FORM, fuse=fuse)
        return graph_by_hand(files, load), [(load.name, number) for number in range(npartitions)]

    return by_hand


def hundreds(parts: Any) -> list[int]:
    """Return the numbers of the files that partitions were read from."""
    return [int(part.x[0] // 100) for part in parts]


@BOTH
@pytest.mark.parametrize("get", [get_sync, dask.threaded.get], ids=["sync", "threads"])
def test_local_schedulers_compute_partitions(
    get: Any,
    finished: Callable[..., str],
    inputs: list[Path],
    by_hand: Callable[..., ByHand],
    fuse: bool,
):
    graph, keys = by_hand(finished(inputs), fuse=fuse)
    parts = get(graph, keys)
    assert hundreds(parts) == [0, 1, 2, 3]
    assert parts[0].v.to_list() == [[0.5] * (event % 3) for event in range(10)]


@BOTH
@pytest.mark.parametrize("cluster", ["cluster_of_threads", "cluster_of_processes"])
def test_a_client_computes_partitions_in_the_order_of_completion(
    cluster: str,
    service: LocalServiceX,
    submit: Callable[..., str],
    inputs: list[Path],
    by_hand: Callable[..., ByHand],
    fuse: bool,
    request: pytest.FixtureRequest,
):
    request_id = submit(inputs)
    graph, keys = by_hand(request_id, fuse=fuse)
    with Client(request.getfixturevalue(cluster)) as client:
        register(client)
        futures = client.get(graph, keys, sync=False)
        for place, index in enumerate((2, 0, 3, 1)):
            service.release(request_id, index)
            assert hundreds([futures[place].result(timeout=30)]) == [index]


@pytest.mark.every_scheduler
def test_a_partition_is_a_delayed_value(
    scheduler: str, finished: Callable[..., str], inputs: list[Path], by_hand: Callable[..., ByHand]
):
    graph, keys = by_hand(finished(inputs))
    if scheduler.startswith("cluster"):
        register()
    parts = [Delayed(key, graph, layer=key[0]) for key in keys]
    total = delayed(sum)([delayed(ak.sum)(part.x) for part in parts])
    assert total.compute() == sum(100 * index + x for index in range(4) for x in range(10))


@pytest.mark.every_scheduler
def test_partitions_are_those_of_a_bag(
    scheduler: str, finished: Callable[..., str], inputs: list[Path], by_hand: Callable[..., ByHand]
):
    graph, keys = by_hand(finished(inputs))
    if scheduler.startswith("cluster"):
        register()
    bag = dask.bag.Bag(graph, keys[0][0], len(keys))
    values = bag.map_partitions(lambda part: part.n.to_list())
    assert sorted(values.compute()) == sorted(4 * list(range(10)))


def test_a_culled_graph_asks_for_the_files_of_its_partitions_only(
    service: LocalServiceX,
    submit: Callable[..., str],
    inputs: list[Path],
    by_hand: Callable[..., ByHand],
):
    request_id = submit(inputs)
    service.release(request_id, 3)
    graph, keys = by_hand(request_id)
    culled: Any = graph.cull({keys[0]})
    assert {number for _, number in culled} == {0}
    assert hundreds(get_sync(culled, keys[:1])) == [3]


def test_a_graph_computes_after_a_pickle(
    finished: Callable[..., str], inputs: list[Path], by_hand: Callable[..., ByHand]
):
    graph, keys = by_hand(finished(inputs))
    copy = pickle.loads(pickle.dumps(graph))  # noqa: S301
    assert hundreds(get_sync(copy, keys)) == [0, 1, 2, 3]


def test_a_layer_that_is_projected_by_hand_reads_these_columns(
    service: LocalServiceX,
    finished: Callable[..., str],
    inputs: list[Path],
    graph_by_hand: Callable[..., HighLevelGraph],
):
    files = SXFileLayer(finished(inputs), 4)
    load = UprootLoadLayer(files, form=FORM).project_manually(frozenset({"x"}))
    (part,) = get_sync(graph_by_hand(files, load), [(load.name, 1)])
    assert hundreds([part]) == [1]
    assert load.layer_info_dict()["columns"] == "x"


def test_a_waiting_graph_on_a_cluster_leaves_its_workers_free(
    cluster_of_processes: LocalCluster,
    service: LocalServiceX,
    submit: Callable[..., str],
    inputs: list[Path],
    by_hand: Callable[..., ByHand],
):
    request_id = submit(inputs)
    graph, keys = by_hand(request_id)
    with Client(cluster_of_processes) as client:
        register(client)
        futures = client.get(graph, keys, sync=False)
        # Four waits, and two workers with one thread each.
        assert client.submit(threading.active_count, pure=False).result(timeout=30) > 0
        for index in range(4):
            service.release(request_id, index)
        assert hundreds(client.gather(futures)) == [0, 1, 2, 3]
