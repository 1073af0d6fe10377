"""Tasks as Dask writes them: its module for that is private, and a release may change it.

`tests/mapping/test_layers.py` fails if one does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from dask._task_spec import Task, TaskRef
from dask.typing import Key

__all__ = ["Task", "call_with_results"]


def call_with_results(key: Key, function: Callable[..., Any], inputs: Iterable[Key]) -> Task:
    """Make the task that calls a function with the results of others."""
    return Task(key, function, *map(TaskRef, inputs))
