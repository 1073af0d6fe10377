"""Tasks and layers as Dask makes them: its module for that is private, and a release may change it.

`tests/graph/test_dask_tasks.py` fails if one does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from dask._task_spec import GraphNode, Task, TaskRef
from dask.blockwise import BlockwiseDep, blockwise_token
from dask.highlevelgraph import Layer
from dask.typing import Key

__all__ = [
    "GraphNode",
    "Numbers",
    "Task",
    "TaskRef",
    "call_with_blocks",
    "call_with_results",
    "forget_tasks",
    "reference",
    "wait",
]


def call_with_results(key: Key, function: Callable[..., Any], inputs: Iterable[Key]) -> Task:
    """Make the task that calls a function with the results of other tasks."""
    return Task(key, function, *map(reference, inputs))


def reference(key: Key) -> TaskRef:
    """Refer to another task, as an argument."""
    return TaskRef(key)


def call_with_blocks(name: str, function: Callable[..., Any], inputs: int = 1) -> Task:
    """Make the task of a blockwise layer that calls a function with its inputs."""
    tokens: list[Any] = [blockwise_token(place) for place in range(inputs)]  # type: ignore[no-untyped-call]
    return Task(name, function, *map(reference, tokens))


class _Wait(Task):
    """A task that Dask doesn't fuse with others.

    `block_fusion` is private. If Dask ignored it, a fused wait would hold a thread.
    """

    __slots__ = ()

    @property
    def block_fusion(self) -> bool:
        return True


def wait(key: Key, function: Callable[..., Any], *args: Any) -> Task:
    """Make the task that calls a function which waits."""
    return _Wait(key, function, *args)


class Numbers(BlockwiseDep):
    """The input of a blockwise layer whose task N gets the number N."""

    def __init__(self, npartitions: int) -> None:
        self.numblocks = (npartitions,)
        self.produces_tasks = False

    def __getitem__(self, idx: tuple[int, ...]) -> int:
        return idx[0]


def forget_tasks(layer: Layer) -> None:
    """Drop the tasks and keys that a copied layer was made with."""
    # Private attributes, in which layers of Dask and dask-awkward keep tasks once made.
    for cache in ("_cached_dict", "_cached_output_keys", "_dims"):
        layer.__dict__.pop(cache, None)
