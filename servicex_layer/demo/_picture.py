"""The demo's picture: the histogram beside the timeline of the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import hist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from servicex_layer.demo._analysis import Analysis
from servicex_layer.report import timeline

__all__ = ["draw"]

_BLUE = "#0072b2"


def draw(
    output: Path, analysis: Analysis, histogram: hist.Hist[Any], report: ak.Array, delay: float
) -> None:
    """Write the picture of a run as PNG.

    Parameters
    ----------
    output : pathlib.Path
        The file to write.
    analysis : Analysis
        The analysis that filled the histogram.
    histogram : hist.Hist
        The result.
    report : awkward.Array
        The computed report of the same computation.
    delay : float
        Seconds from the completion of the last file to the result.
    """
    figure = Figure(figsize=(12, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw_histogram(left, analysis, histogram)
    timeline(report, ax=right)
    figure.suptitle(f"Result ready {delay:.1f} s after ServiceX finished the last file")
    figure.savefig(output, format="png", dpi=130)


def _draw_histogram(axes: Axes, analysis: Analysis, histogram: hist.Hist[Any]) -> None:
    edges = analysis.axis.edges
    unit = f" {analysis.unit}" if analysis.unit else ""
    label = f"{analysis.axis.label} [{analysis.unit}]" if unit else analysis.axis.label
    axes.stairs(histogram.values(), edges, fill=True, color=_BLUE, alpha=0.3)
    axes.stairs(histogram.values(), edges, color=_BLUE, linewidth=1.5)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(bottom=0)
    axes.set_xlabel(label)
    axes.set_ylabel(f"{analysis.entry} / {edges[1] - edges[0]:.3g}{unit}")
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.6g}"))
    axes.set_title(f"{histogram.sum(flow=True):,.0f} {analysis.entry.lower()}", loc="left")
    axes.spines[["top", "right"]].set_visible(False)
