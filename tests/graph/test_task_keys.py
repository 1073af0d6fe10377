from __future__ import annotations

import operator
from typing import Any

import pytest
from dask.local import get_sync

from servicex_layer.graph._dask_tasks import call_with_results
from servicex_layer.graph._task_keys import rename_keys


def rename(key: Any) -> Any:
    return ("new", *key[1:]) if type(key) is tuple and key[:1] == ("old",) else key


@pytest.mark.parametrize(
    "task",
    [
        call_with_results("sum", operator.add, [("old", 0), ("other", 0)]),
        (operator.add, ("old", 0), ("other", 0)),
        (sum, [("old", 0), ("other", 0)]),
    ],
    ids=["task", "tuple", "list"],
)
def test_a_task_depends_on_the_new_keys(task: Any):
    renamed = rename_keys(task, rename, "renamed")
    graph = {("new", 0): 1, ("other", 0): 2, "renamed": renamed}
    assert get_sync(graph, "renamed") == 3


def test_an_alias_depends_on_the_new_key():
    assert rename_keys(("old", 3), rename) == ("new", 3)


def test_other_values_are_unchanged():
    value = {"a": [1, "old"], "b": ("old",)}
    assert rename_keys(value, rename) == {"a": [1, "old"], "b": ("new",)}
