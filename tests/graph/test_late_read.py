"""Columns that projection missed are read when they are touched."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import awkward as ak
import cloudpickle
import dask
import numpy as np
import pytest
import uproot
import vector
from awkward.forms import ListOffsetForm, NumpyForm, RecordForm
from dask.base import compute, persist
from dask.delayed import delayed
from dask.sizeof import sizeof
from distributed import Client, LocalCluster

from servicex_layer import from_servicex
from servicex_layer.errors import MissingObjectError, SchemaMismatchError
from servicex_layer.local import LocalServiceX

pytestmark = pytest.mark.dask_awkward

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
    events: Callable[..., Any], values: Any, scheduler: str, result_format: str
):
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
):
    with dask.config.set({"servicex-layer.range-threshold": 0}):
        array = events()
        whole = array.map_partitions(whole_in_secret, meta=array._meta).compute()
        before = service.traffic.bytes
        assert whole.x.to_list() == values.x.to_list()
        assert service.traffic.bytes > before
        assert whole.to_list() == values.to_list()


@pytest.mark.every_scheduler
def test_columns_of_persisted_partitions_are_read_later(
    events: Callable[..., Any], values: Any, scheduler: str
):
    array = events()
    (kept,) = persist(array.map_partitions(whole_in_secret, meta=array._meta))
    total, lengths = compute(ak.sum(kept.x), ak.num(kept.v))
    assert total == pytest.approx(ak.sum(values.x))
    assert lengths.to_list() == ak.num(values.v).to_list()
    assert kept.s.compute().to_list() == values.s.to_list()


@pytest.mark.every_scheduler
def test_delayed_functions_read_columns_of_partitions(
    events: Callable[..., Any], values: Any, scheduler: str
):
    array = events()
    whole = array.map_partitions(whole_in_secret, meta=array._meta)
    parts = [delayed(sum_of)(part) for part in whole.to_delayed(optimize_graph=True)]
    assert sum(compute(*parts)) == pytest.approx(sum_of(values))


def test_a_kept_result_is_read_after_its_request_was_forgotten(
    events: Callable[..., Any], values: Any, until: Callable[[Callable[[], object]], None]
):
    with (
        dask.config.set({"servicex-layer.forget-after": "200ms"}),
        LocalCluster(n_workers=1, dashboard_address=":0") as cluster,
        Client(cluster),
    ):
        array = events()
        whole = array.map_partitions(whole_in_secret, meta=array._meta)
        here = whole.compute()
        plugin = cluster.scheduler.plugins["servicex-layer"]
        until(lambda: plugin.n_feeds == 0)
        assert here[["x", "v"]].to_list() == values[["x", "v"]].to_list()
    # The cluster is gone, and with it what it knew.
    assert here.s.to_list() == values.s.to_list()


# One partition


@pytest.mark.parametrize("result_format", FORMATS)
def test_each_unread_column_is_read_once(
    partition: Callable[..., Any], values: Any, result_format: str, service: LocalServiceX
):
    with dask.config.set({"servicex-layer.range-threshold": 0}):
        array = partition("n", result_format=result_format)
        service.traffic.reset()
        half = values[:HALF] if array.n[0] == 0 else values[HALF:]
        copies = [cloudpickle.loads(cloudpickle.dumps(array)) for _ in range(3)]
        assert [len(copy) for copy in copies] == [HALF] * 3
        assert sizeof(array) == array.n.layout.nbytes
        assert "??" in repr(array[["n", "x"]])
        assert array[10:20].n.to_list() == half.n[10:20].to_list()
        assert service.traffic.bytes == 0
        assert array.x.to_list() == half.x.to_list()
        once = service.traffic.bytes
        assert once > 0
        assert ak.sum(array[array.n % 2 == 0].x) == pytest.approx(ak.sum(half.x[half.n % 2 == 0]))
        assert service.traffic.bytes == once
        assert array.to_list() == half[array.fields].to_list()


def test_threads_that_touch_a_column_read_it_once(
    partition: Callable[..., Any], service: LocalServiceX
):
    array = partition("n")
    service.traffic.reset()
    together = threading.Barrier(6)

    def touch(_: int) -> tuple[Any, Any]:
        together.wait()
        return ak.sum(array.x), ak.sum(array.v)

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(touch, range(6)))) == 1
    opened_twice = len(service.traffic.files)
    service.traffic.reset()
    other = partition("n")
    service.traffic.reset()
    assert (ak.sum(other.x), ak.sum(other.v)) != (0, 0)
    assert opened_twice == len(service.traffic.files)


@pytest.mark.parametrize("result_format", FORMATS)
def test_items_of_lists_of_which_only_lengths_were_read(
    events: Callable[..., Any], values: Any, result_format: str
):
    def lengths_or_sums(array: Any) -> Any:
        lengths = ak.num(array.v)
        return lengths * 1.0 if is_traced(array) else ak.sum(array.v, axis=1)

    array = events(result_format)
    meta = (ak.num(array.v) * 1.0)._meta
    sums = array.map_partitions(lengths_or_sums, meta=meta).compute(scheduler="sync")
    assert sums.to_list() == ak.sum(values.v, axis=1).to_list()


@pytest.mark.parametrize("result_format", ["root-rntuple", "parquet"])
@pytest.mark.parametrize("number", ["float64", "float32"])
def test_fields_of_vectors_are_read_late(
    finished: Callable[..., str], tmp_path: Path, result_format: str, number: str
):
    counts = np.array([2, 0, 1])
    names = ["pt", "eta", "phi", "mass"]
    fields = {name: np.arange(1, 4, dtype=np.float32) / 4 for name in names}
    muons = ak.unflatten(ak.zip(fields), counts)
    with uproot.recreate(tmp_path / "a.root") as file:
        file.mkrntuple("events", {"muons": muons, "met": np.arange(3.0)})
    record = RecordForm([NumpyForm(number)] * 4, names, parameters={"__record__": "Momentum4D"})
    form = RecordForm([ListOffsetForm("i64", record), NumpyForm("float64")], ["muons", "met"])
    request_id = finished([tmp_path / "a.root"], result_format=result_format)
    events = from_servicex(request_id, form=form, behavior=vector.backends.awkward.behavior)
    for columns in [{"met"}, {"muons.pt"}, {"muons.phi", "met"}]:
        whole: Any = events.dask.layers[events.name]
        layer = whole.project_manually(frozenset(columns))
        # As Dask does: vector's behavior has lambdas.
        array = cloudpickle.loads(cloudpickle.dumps(layer.io_func(0)))
        expected = muons.pt * np.cos(muons.phi)
        assert ak.almost_equal(array.muons.px, expected, dtype_exact=False)
        assert ak.almost_equal(array.muons[array.met > 1].mass, muons.mass[2:], dtype_exact=False)


# Failures


def test_a_result_that_was_deleted_is_an_error_that_names_it(
    events: Callable[..., Any], stored: Callable[[str, int], Path]
):
    array = events()
    layer = array.dask.layers[array.name].project_manually(frozenset({"n"}))
    partition = layer.io_func(0)
    for number in range(2):
        stored(layer.files.request_id, number).unlink()
    with pytest.raises(MissingObjectError, match=r"column 'x' of result '.*' of request .* failed"):
        ak.sum(partition.x)
    assert ak.sum(partition.n) > 0


def test_a_column_that_the_file_lacks_is_an_error_when_it_is_touched(partition: Callable[..., Any]):
    array = partition("n", form="{n: int32, z: float64}")
    assert len(array) == HALF
    with pytest.raises(SchemaMismatchError, match="column 'z'"):
        ak.sum(array.z)


def test_an_error_elsewhere_reads_nothing(partition: Callable[..., Any], service: LocalServiceX):
    array = partition("n")
    service.traffic.reset()
    with pytest.raises(ValueError, match="cannot broadcast"):
        ak.broadcast_arrays(array, np.arange(3))
    with pytest.raises(IndexError):
        array[np.array([10**6])]
    assert service.traffic.files == []
