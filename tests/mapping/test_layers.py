from __future__ import annotations

import functools
import pickle
from typing import Any

import pytest
from dask.highlevelgraph import HighLevelGraph

from servicex_layer import SXFileLayer
from servicex_layer.mapping._layers import CallLayer, ReductionLayer


def merge(*parts: str) -> str:
    return "".join(map(str, parts))


def layers_of(files: int, split_every: int) -> tuple[Any, Any, Any]:
    waits = SXFileLayer("5f1c0d3e", files)
    calls = CallLayer("map", merge, waits)
    return waits, calls, ReductionLayer("reduce", merge, calls, split_every)


@pytest.mark.parametrize(("files", "split_every"), [(2, 2), (7, 2), (8, 2), (9, 3), (100, 8)])
def test_a_tree_takes_every_result_once_and_in_order(files: int, split_every: int):
    _, _, tree = layers_of(files, split_every)

    @functools.cache
    def leaves(key: Any) -> tuple[int, ...]:
        if key[0] == "map":
            return (key[1],)
        inputs = tree.inputs_of(key)
        assert len(inputs) <= split_every
        return sum(map(leaves, inputs), ())

    assert leaves(tree.root) == tuple(range(files))
    assert len(list(tree)) == len(tree) == len(set(tree))
    assert all(key in tree for key in tree)
    assert ("reduce", 9, 0) not in tree


def test_each_task_takes_the_files_of_a_partition():
    waits = SXFileLayer("5f1c0d3e", 3, files_per_partition=3, file_count=7)
    calls = CallLayer("map", merge, waits)
    assert [calls[key].dependencies for key in calls] == [{key} for key in waits]


def test_a_graph_of_many_files_is_small_and_lazy():
    def pickled(files: int) -> int:
        waits, calls, tree = layers_of(files, 8)
        graph = HighLevelGraph(
            {waits.name: waits, "map": calls, "reduce": tree},
            {waits.name: set(), "map": {waits.name}, "reduce": {"map"}},
        )
        culled = graph.cull([tree.root])
        assert not any(layer.is_materialized() for layer in culled.layers.values())
        return len(pickle.dumps(culled))

    assert pickled(20_000) < 3000
    assert pickled(20_000) - pickled(20) < 20


def test_a_culled_layer_keeps_what_is_needed():
    _, calls, tree = layers_of(16, 4)
    kept, dependencies = calls.cull({("map", 3), ("map", 5)}, ())
    assert set(kept) == set(dependencies) == {("map", 3), ("map", 5)}
    kept, dependencies = tree.cull({("reduce", 0, 2)}, ())
    assert set(kept) == {("reduce", 0, 2)}
    assert dependencies[("reduce", 0, 2)] == {("map", number) for number in range(8, 12)}
    kept, _ = tree.cull({tree.root}, ())
    assert kept is tree


def test_dask_finds_the_dependencies_of_each_task():
    waits, calls, tree = layers_of(4, 2)
    graph = HighLevelGraph(
        {waits.name: waits, "map": calls, "reduce": tree},
        {waits.name: set(), "map": {waits.name}, "reduce": {"map"}},
    )
    dependencies = graph.get_all_dependencies()
    assert dependencies[("map", 3)] == {(waits.name, 3)}
    assert dependencies[tree.root] == {("reduce", 0, 0), ("reduce", 0, 1)}


def test_an_unknown_key_is_a_key_error():
    _, calls, _ = layers_of(4, 2)
    with pytest.raises(KeyError):
        calls[("map", 4)]
