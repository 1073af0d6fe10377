"""Dask's private tasks behave as `servicex_layer.graph._dask_tasks` needs it."""

from __future__ import annotations

import operator
from typing import Any

from dask._task_spec import fuse_linear_task_spec
from dask.blockwise import Blockwise
from dask.local import get_sync

from servicex_layer.graph._dask_tasks import Numbers, call, call_with_blocks, reference, wait


def test_dask_runs_a_call():
    task = call(("sum", 0), operator.add, 1, 2)
    assert get_sync({task.key: task}, task.key) == 3


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
        second = call("second", operator.neg, reference("first"))
        third = call("third", operator.neg, reference("second"))
        return {"first": first, "second": second, "third": third}

    fused = fuse_linear_task_spec(graph_with(call("first", int)), {"third"})
    assert "first" not in fused
    apart = fuse_linear_task_spec(graph_with(wait("first", int)), {"third"})
    assert apart["first"].key == "first"
    assert get_sync(apart, "third") == 0
