from __future__ import annotations

from dask.highlevelgraph import HighLevelGraph

from servicex_layer import SXFileLayer


def test_all_tasks_can_be_listed_and_none_is_kept():
    layer = SXFileLayer("5f1c0d3e", 3)
    tasks = dict(layer.items())
    assert set(tasks) == layer.get_output_keys() == {(layer.name, number) for number in range(3)}
    assert all(task.key == key for key, task in tasks.items())
    assert not layer.is_materialized()


def test_dask_finds_the_dependencies_of_each_task():
    layer = SXFileLayer("5f1c0d3e", 3)
    graph = HighLevelGraph({layer.name: layer}, {layer.name: set()})
    assert graph.get_all_dependencies() == {key: set() for key in layer}
