"""Invariant 4 with real parts: a column that projection missed is read when it is touched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import dask
import pytest
import uproot
from dask.base import compute, persist
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optional_dask_awkward import dak  # type: ignore[import-not-found]

from servicex_layer import from_servicex

pytestmark = pytest.mark.dask_awkward

FORM = "{x: float64, n: int32, v: var * float64}"
# A number per event, from one column each; lengths are read without items.
NUMBERS: dict[str, Callable[[Any], Any]] = {
    "x": lambda array: array.x,
    "n": lambda array: array.n,
    "v": lambda array: ak.sum(array.v, axis=1),
    "lengths of v": lambda array: ak.num(array.v),
}
some_numbers = st.sets(st.sampled_from(sorted(NUMBERS)))


def select(array: Any, traced: set[str], untraced: set[str], *, hide: bool) -> Any:
    """Select events by numbers, some of which are not touched while columns are traced.

    With `hide` tracing doesn't see either which columns of the result are touched.
    """
    is_traced = ak.backend(array) == "typetracer"
    names = traced if is_traced else traced | untraced
    total = ak.local_index(array, axis=0) + sum(NUMBERS[name](array) for name in sorted(names))
    selected = array[total % 3 < 2]
    if is_traced and hide:
        return ak.typetracer.typetracer_from_form(selected.layout.form)
    return selected


@pytest.fixture(scope="module")
def partitions(inputs: list[Path]) -> list[Any]:
    """Return what is in the files."""
    return [uproot.open(path)["events"].arrays() for path in inputs]


@pytest.fixture
def request_id(finished: Callable[..., str], inputs: list[Path]) -> str:
    return finished(inputs)


computations = {
    "traced": some_numbers,
    "untraced": some_numbers,
    "hide": st.booleans(),
    "persisted": st.booleans(),
    "later": some_numbers,
}


def assert_equals_eager(
    request_id: str,
    partitions: list[Any],
    *,
    traced: set[str],
    untraced: set[str],
    hide: bool,
    persisted: bool,
    later: set[str],
) -> None:
    """Compute numbers of selected events, and then all of their columns."""
    events = from_servicex(request_id, form=FORM)
    arguments: dict[str, Any] = {"traced": traced, "untraced": untraced, "hide": hide}
    selected = dak.map_partitions(select, events, meta=events._meta, **arguments)
    if persisted:
        (selected,) = persist(selected)
    expected = ak.concatenate([select(partition, **arguments) for partition in partitions])
    names = sorted(later)
    results = compute(*(NUMBERS[name](selected) for name in names))
    for name, result in zip(names, results, strict=True):
        assert result.to_list() == NUMBERS[name](expected).to_list()
    assert selected.compute().to_list() == expected[events.fields].to_list()


@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(scheduler=st.sampled_from(["sync", "threads"]), **computations)
def test_a_computation_equals_that_of_eager_arrays(
    request_id: str, partitions: list[Any], scheduler: str, **computation: Any
):
    with dask.config.set(scheduler=scheduler):
        assert_equals_eager(request_id, partitions, **computation)


@pytest.mark.parametrize("scheduler", ["cluster_of_processes"], indirect=True)
@settings(deadline=None, max_examples=6, suppress_health_check=list(HealthCheck))
@given(**computations)
def test_a_computation_in_processes_equals_that_of_eager_arrays(
    request_id: str, partitions: list[Any], scheduler: str, **computation: Any
):
    assert_equals_eager(request_id, partitions, **computation)
