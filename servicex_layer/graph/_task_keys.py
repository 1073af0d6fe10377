"""Keys within tasks, of both kinds of tasks that Dask knows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from servicex_layer.graph._dask_tasks import GraphNode

__all__ = ["rename_keys"]


def rename_keys(task: Any, rename: Callable[[Any], Any], key: Any = None) -> Any:
    """Return a task that depends on other keys.

    Parameters
    ----------
    task : object
        A task, or a part of one.
    rename : callable
        Returns the new key for a key, and anything else unchanged.
    key : object
        The key of the new task.
    """
    if isinstance(task, GraphNode):
        inputs = {input_: rename(input_) for input_ in task.dependencies}
        return task.substitute(inputs, key=key)
    # As Dask wrote tasks before 2025: a key, or a tuple of a function and its arguments.
    renamed = rename(task)
    if renamed is not task:
        return renamed
    if type(task) in (list, tuple):
        return type(task)(rename_keys(part, rename) for part in task)
    if type(task) is dict:
        return {name: rename_keys(value, rename) for name, value in task.items()}
    return task
