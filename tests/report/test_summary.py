from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
from dask.base import compute
from hypothesis import given, settings
from hypothesis import strategies as st

from servicex_layer import from_servicex, report
from servicex_layer.errors import InvalidArgumentError, MissingExtraError
from servicex_layer.local import Faults, HttpFault, LocalServiceX

FORM = "{x: float64, n: int32, v: var * float64}"


@pytest.fixture
def records(use_service: Callable[[LocalServiceX], None], inputs: list[Path]) -> ak.Array:
    faults = Faults(failing={1}, http=[HttpFault(route="file", status=503, first=2)])
    with LocalServiceX(faults=faults) as service:
        use_service(service)
        events, lazy = from_servicex(service.submit(inputs, tree="events"), form=FORM, report=True)
        with pytest.warns(UserWarning, match="1 of 4 files failed"):
            return compute(events.x, lazy, scheduler="threads")[1]


def test_summary(records: ak.Array, inputs: list[Path]):
    files, moved, seconds, workers, failed = report.summary(records).splitlines()
    assert files == "3 of 4 partitions have a file, 30 events"
    megabytes = f"{sum(records.read) / 1e6:.2f}"
    assert moved == f"{megabytes} of {megabytes} MB were transferred, in 5 calls, 2 of them again"
    assert seconds.startswith(f"seconds: {sum(records.waited):.1f} waiting for files, ")
    assert workers == f"workers: {len(set(records.worker.to_list()))}"
    assert failed == f"failed: {inputs[1]}"


def test_reading_is_dated(records: ak.Array):
    assert ak.all(records.read_at[:3] > records.finished_at[:3])
    assert ak.all(records.read_at < records.finished_at[0] + 600)


def test_timeline(records: ak.Array, tmp_path: Path):
    figure: Any = report.timeline(records)
    (axes,) = figure.axes
    assert axes.get_title("left").startswith(f"4 partitions on {len(set(records.worker))} workers")
    labels = axes.get_legend_handles_labels()[1]
    assert labels == ["finished by ServiceX", "waited for", "transferred", "made an array"]
    waited, transferred, interpreted = axes.containers
    # each bar begins where the one before ends, and all fit the report
    for bars, field in (
        (waited, "waited"),
        (transferred, "transferred"),
        (interpreted, "interpreted"),
    ):
        np.testing.assert_allclose(sorted(bar.get_width() for bar in bars), sorted(records[field]))
    for before, after in zip(waited, transferred, strict=True):
        assert before.get_x() + before.get_width() == pytest.approx(after.get_x())
    path = tmp_path / "timeline.png"
    figure.savefig(path)
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert path.stat().st_size > 5000


def test_empty_reports(service: LocalServiceX):
    _, lazy = from_servicex(service.submit([], tree="events"), report=True)
    records = lazy.compute(scheduler="sync")
    assert report.summary(records).startswith("0 of 1 partitions have a file, 0 events")
    assert report.timeline(records).axes
    assert report.timeline(records[:0]).axes
    assert report.summary(records[:0]).startswith("0 of 0 partitions")


@settings(deadline=None, max_examples=10)
@given(count=st.integers(1, 200), workers=st.integers(1, 5), seed=st.integers(0, 99))
def test_any_report_can_be_drawn(count: int, workers: int, seed: int):
    generator = np.random.default_rng(seed)
    names = [f"tcp://10.0.0.{number}:1234" for number in generator.integers(0, workers, count)]
    times = {
        field: generator.exponential(1.0, count)
        for field in ("waited", "transferred", "interpreted")
    }
    read_at = 1.7e9 + generator.uniform(0, 100, count)
    known = {**times, "read_at": read_at, "finished_at": read_at - 1, "worker": names}
    axes = report.timeline(ak.Array(known)).axes[0]
    (low, high), bars = axes.get_xlim(), [bar for bars in axes.containers for bar in bars]
    assert len(bars) == 3 * count
    assert all(low <= bar.get_x() and bar.get_x() + bar.get_width() <= high for bar in bars)


@pytest.mark.parametrize("function", [report.summary, report.timeline])
@pytest.mark.parametrize("given", [3, ak.Array([1, 2]), ak.Array([{"x": 1}])])
def test_what_is_no_report_is_told(function: Any, given: Any):
    with pytest.raises(InvalidArgumentError, match="is no computed report"):
        function(given)


def test_without_matplotlib(records: ak.Array, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.delitem(sys.modules, "servicex_layer.report_picture", raising=False)
    with pytest.raises(MissingExtraError, match=r"servicex_layer\[plot\]"):
        report.timeline(records)
