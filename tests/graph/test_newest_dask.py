"""Arrays of dask-awkward on the Dask that it excludes. The tests hold on any other, too."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import dask
import dask.bag
import numpy as np
import pytest
from dask.base import compute, optimize
from dask.delayed import delayed
from distributed import Client
from optional_dask_awkward import dak  # type: ignore[import-not-found]
from packaging.version import Version

from servicex_layer import UprootLoadLayer, from_servicex

pytestmark = pytest.mark.dask_awkward

FORM = "{x: float64, n: int32, v: var * float64}"
WIDE = {f"c{number}": "float64" for number in range(100)}
NEWEST = pytest.mark.skipif(
    Version(dask.__version__) < Version("2025.4"), reason="of later releases of Dask"
)
CLUSTER = pytest.mark.parametrize("scheduler", ["cluster_of_processes"], indirect=True)


@pytest.fixture(scope="session")
def wide(tmp_path_factory: pytest.TempPathFactory, write_file: Callable[..., Path]) -> list[Path]:
    """Write two files of 100 columns."""
    directory = tmp_path_factory.mktemp("wide")
    generator = np.random.default_rng(1)
    columns = {name: generator.random(5000) for name in WIDE}
    return [write_file(directory / f"wide-{number}.root", events=columns) for number in range(2)]


@pytest.mark.every_scheduler
def test_one_column_of_100_asks_for_a_hundredth_of_the_bytes(
    scheduler: str, finished: Callable[..., str], wide: list[Path]
):
    def bytes_asked_for(select: Callable[[Any], Any]) -> int:
        # A request of its own: Dask may know the report of one that was computed before.
        events, report = from_servicex(finished(wide), form=WIDE, report=True)
        return int(ak.sum(compute(select(events), report)[1].asked))

    of_one = bytes_asked_for(lambda events: ak.sum(events.c7))
    of_all = bytes_asked_for(lambda events: events)
    assert 0 < of_one < 0.05 * of_all


@NEWEST
@CLUSTER
def test_a_report_is_that_of_its_own_computation(
    scheduler: str, finished: Callable[..., str], wide: list[Path]
):
    events, report = from_servicex(finished(wide), form=WIDE, report=True)
    selections = [ak.sum(events.c7), ak.sum(events.c7 + events.c8), events]
    asked = [int(ak.sum(compute(selection, report)[1].asked)) for selection in selections]
    assert asked == sorted(set(asked))


def test_a_layer_is_projected_after_a_pickle(finished: Callable[..., str], inputs: list[Path]):
    array = from_servicex(finished(inputs), form=FORM).x + 1
    graph = pickle.loads(pickle.dumps(array.dask))  # noqa: S301
    optimized = dak.lib.optimize.optimize_columns(graph, array.__dask_keys__())
    (load,) = (layer for layer in optimized.layers.values() if isinstance(layer, UprootLoadLayer))
    assert load.layer_info_dict()["columns"] == "x"


@CLUSTER
def test_chains_of_operations_become_one_task_each(
    scheduler: str, finished: Callable[..., str], inputs: list[Path]
):
    events = from_servicex(finished(inputs), form=FORM)
    chain = ((events.x + 1) * 2)[events.n > 4]
    (future,) = Client.current().compute([chain])
    assert future.result().to_list() == [
        2 * (100 * i + x + 1) for i in range(4) for x in range(5, 10)
    ]
    (optimized,) = optimize(chain)
    # One task for each of the 4 partitions.
    assert len(dict(optimized.dask)) == 4


@CLUSTER
def test_persisted_partitions_meet_those_that_are_read(
    scheduler: str, finished: Callable[..., str], inputs: list[Path]
):
    events, report = from_servicex(finished(inputs), form=FORM, report=True)
    x = events.x.persist()
    difference, records = compute(ak.sum(abs(events.n - x % 100)), report)
    assert difference == 0
    # Dask may know the report of the first request.
    events, report = from_servicex(finished(inputs), form=FORM, report=True)
    _, of_n = compute(ak.sum(events.n), report)
    assert records.asked.to_list() == of_n.asked.to_list()


@CLUSTER
def test_arrays_of_other_sources_are_computed_with_ours(
    scheduler: str, finished: Callable[..., str], inputs: list[Path]
):
    events = from_servicex(finished(inputs), form=FORM)
    other = dak.from_awkward(ak.Array({"x": np.arange(40.0), "y": np.arange(40.0)}), 4)
    assert compute(ak.sum(events.n), ak.sum(other.y)) == (180, 780)
    assert ak.sum(events.n + other.y).compute() == 960


@NEWEST
def test_dask_still_mixes_up_results_of_several_kinds():
    # If this fails, Dask has mended it: remove the note of docs/newest-dask.md, and this test.
    bags = [dask.bag.from_sequence([number], npartitions=1).sum() for number in (1, 3)]
    results = compute(bags[0], delayed(int)(2), bags[1], scheduler="sync")
    assert results == (1, 3, 2)
