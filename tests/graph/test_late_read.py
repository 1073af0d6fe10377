"""Columns that projection missed are read when they are touched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import dask
import dask_awkward
import numpy as np
import pytest
import uproot
from dask.base import compute, persist
from dask.delayed import delayed

from servicex_layer import from_servicex
from servicex_layer.local import LocalServiceX

dak: Any = dask_awkward
FORMATS = ["root-file", "root-rntuple", "parquet"]
EVENTS = 2000
HALF = EVENTS // 2
FORM = "{x: float64, n: int32, v: var * float64, s: string}"


@pytest.fixture(scope="module")
def values() -> Any:
    chance = np.random.default_rng(7)
    counts = chance.integers(0, 5, EVENTS)
    return ak.Array(
        {
            "x": chance.normal(size=EVENTS),
            "n": np.arange(EVENTS, dtype=np.int32),
            "v": ak.unflatten(chance.normal(size=counts.sum()), counts),
            "s": ak.Array([f"event {number}" for number in range(EVENTS)]),
        }
    )


@pytest.fixture(scope="module")
def files(values: Any, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Write the two halves of the values."""
    directory = tmp_path_factory.mktemp("late")
    paths = [directory / f"{number}.root" for number in range(2)]
    for path, half in zip(paths, (values[:HALF], values[HALF:]), strict=True):
        with uproot.recreate(path, compression=None) as file:
            file.mktree("events", {name: half[name] for name in half.fields})
    return paths


@pytest.fixture
def events(finished: Callable[..., str], files: list[Path]) -> Callable[..., Any]:
    """Return the array of two files with the values."""

    def events(result_format: str = "root-file", **options: Any) -> Any:
        request_id = finished(files, result_format=result_format)
        return from_servicex(request_id, **{"form": FORM, **options})

    return events


@pytest.fixture
def partition(events: Callable[..., Any]) -> Callable[..., Any]:
    """Read some columns of the first partition."""

    def partition(*columns: str, result_format: str = "root-file", **options: Any) -> Any:
        array = events(result_format, **options)
        layer = array.dask.layers[array.name].project_manually(frozenset(columns))
        return layer.io_func(0)

    return partition


def is_traced(array: Any) -> bool:
    return bool(ak.backend(array) == "typetracer")


def sum_in_secret(array: Any) -> Any:
    """Touch columns, but not while they are traced."""
    return array.x if is_traced(array) else array.x + array.n + ak.sum(array.v, axis=1)


def sum_if_large(array: Any) -> Any:
    """Touch a column under a condition that tracing doesn't meet."""
    if not is_traced(array) and ak.any(array.x > 1):
        return array.x + array.n
    return array.x * 1.0


def whole_in_secret(array: Any) -> Any:
    """Return all columns, with nothing touched while they are traced."""
    return ak.typetracer.typetracer_from_form(array.layout.form) if is_traced(array) else array


def sum_of(array: Any) -> float:
    return float(ak.sum(array.x) + ak.sum(array.v))


# Computations


@pytest.mark.every_scheduler
@pytest.mark.parametrize("result_format", FORMATS)
def test_a_function_touches_columns_only_if_there_are_data(
    events: Callable[..., Any], values: Any, scheduler: str, result_format: str, monkeypatch: Any
):
    monkeypatch.setenv("DASK_SERVICEX_LAYER__SETTLE", "100ms")
    array = events(result_format)
    sums = array.map_partitions(sum_in_secret, meta=array.x._meta)
    expected = values.x + values.n + ak.sum(values.v, axis=1)
    assert sums.compute().to_list() == expected.to_list()
    conditional = array.map_partitions(sum_if_large, meta=array.x._meta)
    assert conditional.compute().to_list() == (values.x + values.n).to_list()


@pytest.mark.every_scheduler
def test_columns_are_read_by_who_gets_the_result(
    events: Callable[..., Any],
    values: Any,
    scheduler: str,
    service: LocalServiceX,
    monkeypatch: Any,
):
    monkeypatch.setenv("DASK_SERVICEX_LAYER__SETTLE", "100ms")
    with dask.config.set({"servicex-layer.range-threshold": 0}):
        array = events()
        whole = array.map_partitions(whole_in_secret, meta=array._meta).compute()
        before = service.traffic.bytes
        assert whole.x.to_list() == values.x.to_list()
        assert service.traffic.bytes > before
        assert whole.to_list() == values.to_list()


@pytest.mark.every_scheduler
def test_columns_of_persisted_partitions_are_read_later(
    events: Callable[..., Any], values: Any, scheduler: str, monkeypatch: Any
):
    monkeypatch.setenv("DASK_SERVICEX_LAYER__SETTLE", "100ms")
    array = events()
    (kept,) = persist(array.map_partitions(whole_in_secret, meta=array._meta))
    total, lengths = compute(ak.sum(kept.x), ak.num(kept.v))
    assert total == pytest.approx(ak.sum(values.x))
    assert lengths.to_list() == ak.num(values.v).to_list()
    assert kept.s.compute().to_list() == values.s.to_list()


@pytest.mark.every_scheduler
def test_delayed_functions_read_columns_of_partitions(
    events: Callable[..., Any], values: Any, scheduler: str, monkeypatch: Any
):
    monkeypatch.setenv("DASK_SERVICEX_LAYER__SETTLE", "100ms")
    array = events()
    whole = array.map_partitions(whole_in_secret, meta=array._meta)
    parts = [delayed(sum_of)(part) for part in whole.to_delayed(optimize_graph=True)]
    assert sum(compute(*parts)) == pytest.approx(sum_of(values))
