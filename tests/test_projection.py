"""What an analysis reads of each format: the columns it uses, and no more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import dask
import dask_awkward as dak
import numpy as np
import pytest
import uproot
from dask.base import compute
from dask_awkward.lib.inspect import report_necessary_buffers

from servicex_layer import from_servicex
from servicex_layer.local import LocalServiceX
from servicex_layer.tasks import ReadFile

FORMATS = ["root-file", "root-rntuple", "parquet"]

Recorded = list[tuple[str, Any]]


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


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    """Take down which columns of which request are read."""
    calls: Recorded = []
    plain = ReadFile.__call__

    def call(self: ReadFile, file: object) -> ak.Array:
        calls.append((self.request_id, self.columns))
        return plain(self, file)

    monkeypatch.setattr(ReadFile, "__call__", call)
    return calls


@pytest.fixture
def request_of(service: LocalServiceX) -> Callable[..., str]:
    def request_of(path: Path, result_format: str) -> str:
        return service.submit([path], tree="events", result_format=result_format)

    return request_of


def only(columns: Any) -> Any:
    (found,) = columns.values()
    return found


@pytest.mark.parametrize("result_format", FORMATS)
def test_necessary_columns_and_buffers(
    request_of: Callable[..., str], source: Path, recorded: Recorded, result_format: str
):
    events = from_servicex(request_of(source, result_format))
    picked = events.x[ak.num(events.v) > 0]
    assert only(dak.necessary_columns(picked)) == {"x", "v"}
    (report,) = report_necessary_buffers(picked).values()
    assert report is not None
    assert len(report.data_and_shape) == 2
    assert picked.compute(scheduler="sync").to_list() == [0.0, 2.0]
    assert [columns for _, columns in recorded] == [{"x", "v"}]


@pytest.mark.parametrize("result_format", FORMATS)
def test_strings_and_whole_arrays(
    request_of: Callable[..., str], source: Path, recorded: Recorded, result_format: str
):
    events = from_servicex(request_of(source, result_format))
    assert events.s.compute(scheduler="sync").to_list() == ["a", "", "bb", "c"]
    assert events.compute(scheduler="sync").y.to_list() == [0, 1, 2, 3]
    first, second = (columns for _, columns in recorded)
    assert first == {"s"}
    assert second is None or second >= {"x", "y", "v", "w", "s"}


@pytest.mark.parametrize("result_format", ["root-rntuple", "parquet"])
def test_fields_of_records(
    request_of: Callable[..., str], nested: Path, recorded: Recorded, result_format: str
):
    events = from_servicex(request_of(nested, result_format))
    picked = events.muons.pt
    assert only(dak.necessary_columns(picked)) == {"muons.pt"}
    assert picked.compute(scheduler="sync").to_list() == [[1.5], [], [2.5, 3.5]]
    assert [columns for _, columns in recorded] == [{"muons.pt"}]


@pytest.mark.parametrize("result_format", FORMATS)
def test_two_requests_in_one_computation_project_each_on_its_own(
    request_of: Callable[..., str], source: Path, recorded: Recorded, result_format: str
):
    ids = [request_of(source, result_format), request_of(source, "root-file")]
    first, second = map(from_servicex, ids)
    together = first.x + second.y
    names: dict[str, Any] = dak.necessary_columns(together)
    assert sorted(map(sorted, names.values())) == [["x"], ["y"]]
    assert together.compute(scheduler="sync").to_list() == [0, 2, 4, 6]
    assert sorted(recorded, key=str) == sorted(
        [(ids[0], frozenset({"x"})), (ids[1], frozenset({"y"}))], key=str
    )
    recorded.clear()
    compute(first.v, second.w, scheduler="sync")
    assert sorted(recorded, key=str) == sorted(
        [(ids[0], frozenset({"v"})), (ids[1], frozenset({"w"}))], key=str
    )


@pytest.mark.parametrize("result_format", FORMATS)
def test_the_number_of_events_reads_few_columns(
    request_of: Callable[..., str], source: Path, recorded: Recorded, result_format: str
):
    events = from_servicex(request_of(source, result_format))
    assert ak.num(events, axis=0).compute(scheduler="sync") == 4
    with dask.config.set(scheduler="sync"):
        events.eager_compute_divisions()
    assert len(events) == 4
    assert [columns for _, columns in recorded] == [frozenset()] * 2
    recorded.clear()
    assert ak.num(events.v).compute(scheduler="sync").to_list() == [1, 0, 2, 0]
    assert [columns for _, columns in recorded] == [{"v"}]
