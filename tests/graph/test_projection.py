"""An analysis reads the columns that it uses, and no others, of each format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import dask
import numpy as np
import pytest
import uproot
from dask.base import compute
from dask.core import flatten
from dask.highlevelgraph import HighLevelGraph
from optional_dask_awkward import dak  # type: ignore[import-not-found]

from servicex_layer import UprootLoadLayer, from_servicex
from servicex_layer.errors import SchemaMismatchError
from servicex_layer.local import LocalServiceX

pytestmark = pytest.mark.dask_awkward

FORMATS = ["root-file", "root-rntuple", "parquet"]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "a.root"
    with uproot.recreate(path) as file:
        file.mktree(
            "events",
            {
                "x": np.arange(4.0),
                "y": np.arange(4, dtype=np.int32),
                "v": ak.Array([[1.5], [], [2.5, 3.5], []]),
                "w": ak.Array([[1], [2, 3], [], []]),
                "s": ak.Array(["a", "", "bb", "c"]),
            },
        )
    return path


@pytest.fixture
def nested(tmp_path: Path) -> Path:
    path = tmp_path / "b.root"
    with uproot.recreate(path) as file:
        muons = ak.zip(
            {"pt": ak.Array([[1.5], [], [2.5, 3.5]]), "eta": ak.Array([[1], [], [2, 3]])}
        )
        file.mkrntuple("events", ak.Array({"muons": muons, "met": np.arange(3.0)}))
    return path


def columns_read(*arrays: Any) -> dict[str, set[str]]:
    """Return the columns that a computation of these arrays reads, by request."""
    graph = HighLevelGraph.merge(*(array.dask for array in arrays))
    keys = [key for array in arrays for key in flatten(array.__dask_keys__())]
    layers = dak.lib.optimize.optimize_columns(graph, keys).layers.values()
    loads = [layer for layer in layers if isinstance(layer, UprootLoadLayer)]
    columns = [load.layer_info_dict()["columns"].split(", ") for load in loads]
    return {load.files.request_id: set(names) for load, names in zip(loads, columns, strict=True)}


@pytest.fixture
def request_of(service: LocalServiceX) -> Callable[..., str]:
    def request_of(path: Path, result_format: str) -> str:
        return service.submit([path], tree="events", result_format=result_format)

    return request_of


def only_value(mapping: dict[str, Any]) -> Any:
    (value,) = mapping.values()
    return value


@pytest.mark.parametrize("result_format", FORMATS)
def test_necessary_columns_and_buffers_are_reported_and_read(
    request_of: Callable[..., str], source: Path, result_format: str
):
    events = from_servicex(request_of(source, result_format))
    picked = events.x[ak.num(events.v) > 0]
    assert only_value(dak.necessary_columns(picked)) == {"x", "v"}
    (report,) = dak.report_necessary_buffers(picked).values()
    assert report is not None
    assert len(report.data_and_shape) == 2
    assert picked.compute(scheduler="sync").to_list() == [0.0, 2.0]
    assert only_value(columns_read(picked)) == {"x", "v"}


@pytest.mark.parametrize("result_format", FORMATS)
def test_strings_and_whole_arrays_are_read(
    request_of: Callable[..., str], source: Path, result_format: str
):
    events = from_servicex(request_of(source, result_format))
    assert events.s.compute(scheduler="sync").to_list() == ["a", "", "bb", "c"]
    assert events.compute(scheduler="sync").y.to_list() == [0, 1, 2, 3]
    assert only_value(columns_read(events.s)) == {"s"}
    assert only_value(columns_read(events)) >= {"x", "y", "v", "w", "s"}


@pytest.mark.parametrize("result_format", ["root-rntuple", "parquet"])
def test_fields_of_records_are_read_alone(
    request_of: Callable[..., str], nested: Path, result_format: str
):
    events = from_servicex(request_of(nested, result_format))
    picked = events.muons.pt
    assert only_value(dak.necessary_columns(picked)) == {"muons.pt"}
    assert picked.compute(scheduler="sync").to_list() == [[1.5], [], [2.5, 3.5]]
    assert only_value(columns_read(picked)) == {"muons.pt"}


@pytest.mark.parametrize("result_format", FORMATS)
def test_two_requests_in_one_computation_project_each_on_its_own(
    request_of: Callable[..., str], source: Path, result_format: str
):
    ids = [request_of(source, result_format), request_of(source, "root-file")]
    first, second = map(from_servicex, ids)
    together = first.x + second.y
    names: dict[str, Any] = dak.necessary_columns(together)
    assert sorted(map(sorted, names.values())) == [["x"], ["y"]]
    assert together.compute(scheduler="sync").to_list() == [0, 2, 4, 6]
    assert columns_read(together) == {ids[0]: {"x"}, ids[1]: {"y"}}
    assert columns_read(first.v, second.w) == {ids[0]: {"v"}, ids[1]: {"w"}}
    lists, numbers = compute(first.v, second.w, scheduler="sync")
    assert lists.to_list() == [[1.5], [], [2.5, 3.5], []]
    assert numbers.to_list() == [[1], [2, 3], [], []]


@pytest.mark.parametrize("result_format", FORMATS)
def test_the_number_of_events_reads_no_column(
    request_of: Callable[..., str], source: Path, result_format: str
):
    events = from_servicex(request_of(source, result_format))
    assert only_value(columns_read(ak.num(events, axis=0))) == {"none"}
    assert ak.num(events, axis=0).compute(scheduler="sync") == 4
    with dask.config.set(scheduler="sync"):
        events.eager_compute_divisions()
    assert len(events) == 4
    assert ak.num(events.v).compute(scheduler="sync").to_list() == [1, 0, 2, 0]
    assert only_value(columns_read(ak.num(events.v))) == {"v"}


@pytest.fixture(scope="module")
def long_lists(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write lists whose items make up most of the file: a TTree, and an RNTuple of records."""
    chance = np.random.default_rng(5)
    counts = chance.integers(0, 400, 4000)
    values = ak.unflatten(chance.normal(size=counts.sum()), counts)
    paths = {kind: tmp_path_factory.mktemp("long") / f"{kind}.root" for kind in ("tree", "ntuple")}
    with uproot.recreate(paths["tree"], compression=None) as file:
        file.mktree("events", {"v": values, "x": np.arange(4000.0)})
    with uproot.recreate(paths["ntuple"], compression=None) as file:
        muons = ak.zip({"pt": values, "eta": values + 1}, with_name="Muon")
        file.mkrntuple("events", {"v": values, "muons": muons, "x": np.arange(4000.0)})
    return paths


@pytest.mark.parametrize(
    ("kind", "result_format", "share"),
    [
        ("tree", "root-file", 0.1),
        ("ntuple", "root-rntuple", 0.15),
        # Parquet stores the lengths among the values.
        ("ntuple", "parquet", 1.0),
    ],
)
@pytest.mark.parametrize("column", ["v", "muons"])
def test_lengths_of_lists_are_read_without_their_items(
    request_of: Callable[..., str],
    long_lists: dict[str, Path],
    kind: str,
    result_format: str,
    share: float,
    column: str,
):
    if column == "muons" and kind == "tree":
        pytest.skip("a TTree has no lists of records")
    with uproot.open(long_lists[kind]) as file:
        lists = file["events"].arrays()[column]
    events, report = from_servicex(request_of(long_lists[kind], result_format), report=True)
    with dask.config.set({"servicex-layer.range-threshold": 0, "scheduler": "sync"}):
        counts, records = compute(ak.num(events[column]), report)
        assert counts.to_list() == ak.num(lists).to_list()
        assert records.read[0] < share * records.size[0]
        picked = events.x[ak.num(events[column]) > 20]
        assert picked.compute().to_list() == np.arange(4000.0)[ak.num(lists) > 20].tolist()
        # Items that the same computation uses are read.
        counts_too, sums = compute(ak.num(events[column]), ak.sum(events.v, axis=1))
        assert counts_too.to_list() == counts.to_list()
        assert np.allclose(sums, ak.sum(events.v.compute(), axis=1))


@pytest.mark.parametrize("result_format", FORMATS)
@pytest.mark.parametrize("column", ["x", "z"], ids=["not a list", "missing"])
def test_lengths_of_a_column_without_lists_are_an_error(
    request_of: Callable[..., str], source: Path, result_format: str, column: str
):
    form = f"{{{column}: var * float64}}"
    lengths = ak.num(from_servicex(request_of(source, result_format), form=form)[column])
    with pytest.raises(SchemaMismatchError, match=f"{column!r}"):
        lengths.compute(scheduler="sync")


@pytest.mark.parametrize("result_format", FORMATS)
def test_columns_that_are_only_named_are_not_read(
    request_of: Callable[..., str], source: Path, result_format: str
):
    events = from_servicex(request_of(source, result_format))
    counts = [ak.count(events.x), ak.num(events[["x", "s"]], axis=0), ak.ones_like(events.y)]
    count, number, ones = compute(*counts, scheduler="sync")
    assert (count, number, ones.to_list()) == (4, 4, [1, 1, 1, 1])
    total, count = compute(ak.sum(events.y), ak.count(events.x), scheduler="sync")
    assert (total, count) == (6, 4)
    assert only_value(columns_read(*counts)) == {"none"}
    assert only_value(columns_read(ak.sum(events.y), ak.count(events.x))) == {"y"}


@pytest.mark.parametrize("result_format", ["root-rntuple", "parquet"])
def test_fields_that_are_only_named_are_not_read(
    request_of: Callable[..., str], nested: Path, result_format: str
):
    events = from_servicex(request_of(nested, result_format))
    counts, total = compute(ak.num(events.muons.pt), ak.sum(events.muons.eta), scheduler="sync")
    assert (counts.to_list(), total) == ([1, 0, 2], 6)
    assert compute(ak.count(events.muons.pt, axis=1), scheduler="sync")[0].to_list() == [1, 0, 2]
