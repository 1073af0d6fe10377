"""The demo's picture: the histogram beside the timeline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hist
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from servicex_layer.demo._analysis import Analysis
from servicex_layer.demo._timeline import Timeline

__all__ = ["draw"]

_FILES = "#d55e00"
_PARTITIONS = "#0072b2"
_GREY = "#555555"


def draw(output: Path, analysis: Analysis, filled: hist.Hist[Any], timeline: Timeline) -> None:
    """Write the picture of a run as PNG."""
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw_histogram(left, analysis, filled)
    _draw_timeline(right, timeline)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_ylim(bottom=0)
    figure.savefig(output, format="png", dpi=130)


def _draw_histogram(axes: Axes, analysis: Analysis, filled: hist.Hist[Any]) -> None:
    edges = analysis.axis.edges
    unit = f" {analysis.unit}" if analysis.unit else ""
    label = f"{analysis.axis.label} [{analysis.unit}]" if unit else analysis.axis.label
    axes.stairs(filled.values(), edges, fill=True, color=_PARTITIONS, alpha=0.3)
    axes.stairs(filled.values(), edges, color=_PARTITIONS, linewidth=1.5)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_xlabel(label)
    axes.set_ylabel(f"{analysis.entry} / {edges[1] - edges[0]:.3g}{unit}")
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.6g}"))
    axes.set_title(f"{filled.sum(flow=True):,.0f} {analysis.entry.lower()}", loc="left")


def _draw_timeline(axes: Axes, timeline: Timeline) -> None:
    end = timeline.ready
    _draw_count(axes, timeline.files, end, "files finished by ServiceX", _FILES)
    _draw_count(axes, timeline.partitions, end, "partitions computed by Dask", _PARTITIONS)
    axes.axvline(end, color=_GREY, linestyle=":", linewidth=1.5)
    axes.annotate(
        "result ready",
        (end, 0.02),
        xycoords=("data", "axes fraction"),
        xytext=(-4, 0),
        textcoords="offset points",
        rotation=90,
        ha="right",
        va="bottom",
        color=_GREY,
    )
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(0, end * 1.03)
    axes.set_xlabel("Time since the submission [s]")
    axes.set_ylabel("Files, partitions")
    behind = end - max(timeline.files)
    axes.set_title(f"Result ready {behind:.1f} s after the last file", loc="left")
    axes.legend(loc="upper left", frameon=False)


def _draw_count(axes: Axes, times: Sequence[float], end: float, label: str, color: str) -> None:
    counts = np.arange(len(times) + 1)
    axes.step(
        [0.0, *sorted(times), end],
        [*counts, counts[-1]],
        where="post",
        label=label,
        color=color,
        linewidth=2,
    )
