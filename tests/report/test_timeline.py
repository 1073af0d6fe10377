from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from servicex_layer import report
from servicex_layer.errors import MissingExtraError


@pytest.mark.dask_awkward
def test_the_bars_of_a_row_follow_each_other_and_are_as_long_as_reported(
    records: ak.Array, tmp_path: Path
):
    figure: Any = report.timeline(records)
    (axes,) = figure.axes
    assert axes.get_title("left").startswith(f"4 partitions on {len(set(records.worker))} workers")
    labels = axes.get_legend_handles_labels()[1]
    assert labels == ["finished by ServiceX", "waited for", "transferred", "made an array"]
    waited, transferred, interpreted = axes.containers
    for bars, field in (
        (waited, "waited"),
        (transferred, "transferred"),
        (interpreted, "interpreted"),
    ):
        np.testing.assert_allclose(sorted(bar.get_width() for bar in bars), sorted(records[field]))
    for wait, transfer in zip(waited, transferred, strict=True):
        assert wait.get_x() + wait.get_width() == pytest.approx(transfer.get_x())
    path = tmp_path / "timeline.png"
    figure.savefig(path)
    assert path.stat().st_size > 5000


@pytest.mark.dask_awkward
def test_a_notebook_displays_the_figure(records: ak.Array):
    figure: Any = report.timeline(records)
    assert figure._repr_png_().startswith(b"\x89PNG")


@pytest.mark.dask_awkward
def test_the_timeline_can_be_drawn_on_axes_of_the_user(records: ak.Array):
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert report.timeline(records, ax=right) is figure
    assert len(right.containers) == 3
    assert not left.containers


@pytest.mark.dask_awkward
def test_an_empty_report_has_a_timeline(empty_records: ak.Array):
    assert report.timeline(empty_records).axes
    assert report.timeline(empty_records[:0]).axes


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
    columns = {
        **times,
        "partition": np.arange(count),
        "read_at": read_at,
        "finished_at": read_at - 1,
        "worker": names,
    }
    axes = report.timeline(ak.Array(columns)).axes[0]
    (low, high), bars = axes.get_xlim(), [bar for bars in axes.containers for bar in bars]
    assert len(bars) == 3 * count
    assert all(low <= bar.get_x() and bar.get_x() + bar.get_width() <= high for bar in bars)


@pytest.mark.dask_awkward
def test_without_matplotlib_the_error_says_what_to_install(
    records: ak.Array, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.delitem(sys.modules, "servicex_layer.report._picture", raising=False)
    with pytest.raises(MissingExtraError, match=r"servicex_layer\[plot\]"):
        report.timeline(records)
