"""Tasks as Dask 2025 writes them: its module for that is private, and a release may change it.

`tests/graph/test_dask_tasks.py` fails if one does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dask._task_spec import Task, TaskRef
from dask.blockwise import blockwise_token
from dask.typing import Key

__all__ = ["Task", "call", "call_with_block"]


def call(key: Key, function: Callable[..., Any], *args: Any) -> Task:
    """Make the task that calls a function."""
    return Task(key, function, *args)


def call_with_block(name: str, function: Callable[..., Any]) -> Task:
    """Make the task of a blockwise layer that calls a function with its first input."""
    token: Any = blockwise_token(0)  # type: ignore[no-untyped-call]
    return Task(name, function, TaskRef(token))
