"""Dask's private tasks behave as `servicex_layer.graph._dask_tasks` needs it."""

from __future__ import annotations

import operator
from typing import Any

from dask._task_spec import fuse_linear_task_spec
from dask.blockwise import Blockwise
from dask.local import get_sync

from servicex_layer.graph._dask_tasks import (
    Numbers,
    call_with_blocks,
    call_with_results,
    reference,
    wait,
)


def test_dask_calls_a_function_with_the_results_of_other_tasks():
    task = call_with_results("difference", operator.sub, [("number", 0), ("number", 1)])
    graph = {("number", 0): 5, ("number", 1): 7, task.key: task}
    assert get_sync(graph, task.key) == -2


def test_dask_gives_a_task_the_result_that_an_argument_refers_to():
    task = wait("sum", operator.add, 1, reference("number"))
    assert get_sync({"number": 2, "sum": task}, "sum") == 3


def test_dask_gives_each_task_of_a_blockwise_layer_its_block():
    layer = Blockwise(
        output="negative",
        output_indices="i",
        task=call_with_blocks("negative", operator.neg),
        indices=[("number", "i")],
        numblocks={"number": (2,)},
    )
    graph = {("number", 0): 5, ("number", 1): 7, **layer}
    assert get_sync(graph, [("negative", 0), ("negative", 1)]) == (-5, -7)


def test_numbers_give_each_task_of_a_blockwise_layer_its_number():
    layer = Blockwise(
        output="negative",
        output_indices="i",
        task=call_with_blocks("negative", operator.neg),
        indices=[(Numbers(3), "i")],
        numblocks={},
    )
    assert get_sync(dict(layer), [("negative", number) for number in range(3)]) == (0, -1, -2)


def test_dask_fuses_no_wait_with_what_follows():
    def graph_with(first: Any) -> dict[Any, Any]:
        second = call_with_results("second", operator.neg, ["first"])
        third = call_with_results("third", operator.neg, ["second"])
        return {"first": first, "second": second, "third": third}

    fused = fuse_linear_task_spec(graph_with(call_with_results("first", int, [])), {"third"})
    assert "first" not in fused
    apart = fuse_linear_task_spec(graph_with(wait("first", int)), {"third"})
    assert apart["first"].key == "first"
    assert get_sync(apart, "third") == 0
