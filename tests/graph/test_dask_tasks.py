"""Dask's private tasks behave as `servicex_layer.graph._dask_tasks` needs it."""

from __future__ import annotations

import operator

from dask.blockwise import Blockwise
from dask.local import get_sync

from servicex_layer.graph._dask_tasks import call, call_with_blocks


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
