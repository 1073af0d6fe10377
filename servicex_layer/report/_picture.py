"""Draws the timeline with matplotlib, which is slow to import."""

from __future__ import annotations

import io
from typing import cast

import awkward as ak
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = ["draw", "new_axes"]

_WAITED = "#d9d9d9"
_TRANSFERRED = "#56b4e9"
_INTERPRETED = "#0072b2"
_FINISHED = "#d55e00"
_BETWEEN = "#555555"
# With more partitions than this the rows touch, as gaps would be thinner than a pixel.
_MAX_SPACED_ROWS = 60


class _NotebookFigure(Figure):
    """A figure that a notebook displays even if pyplot is not imported."""

    def _repr_png_(self) -> bytes:
        content = io.BytesIO()
        self.savefig(content, format="png")
        return content.getvalue()


def new_axes() -> Axes:
    """Return the axes of a new figure that fits a slide."""
    return _NotebookFigure(figsize=(10, 5), layout="constrained").subplots()


def draw(report: ak.Array, axes: Axes) -> Figure:
    """Draw the timeline of a report and return its figure."""
    if len(report):
        _draw_rows(report, axes)
    axes.set_xlabel("Time [s]")
    axes.set_ylabel(f"{_rows_are(report).capitalize()}, by worker")
    axes.spines[["top", "right"]].set_visible(False)
    return cast("Figure", axes.figure)


def _draw_rows(report: ak.Array, axes: Axes) -> None:
    workers = np.asarray(report.worker.to_list())
    end = report.read_at.to_numpy()
    order = np.lexsort((end, workers))
    workers, end = workers[order], end[order]
    interpreted, transferred, waited, finished = (
        report[field].to_numpy()[order]
        for field in ("interpreted", "transferred", "waited", "finished_at")
    )
    made = end - interpreted
    began = made - transferred
    zero = np.nanmin(np.concatenate([began - waited, finished]))
    rows = np.arange(len(end))
    height = 0.8 if len(rows) <= _MAX_SPACED_ROWS else 1.0
    for start, length, color, label in (
        (began - waited, waited, _WAITED, "waited for"),
        (began, transferred, _TRANSFERRED, "transferred"),
        (made, interpreted, _INTERPRETED, "made an array"),
    ):
        axes.barh(rows, length, height, start - zero, color=color, label=label)
    axes.plot(
        finished - zero,
        rows,
        linestyle="none",
        marker="|",
        markersize=max(3.0, min(12.0, 240.0 / len(rows))),
        color=_FINISHED,
        label="finished by ServiceX",
    )
    _name_workers(axes, workers)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(left=-0.01 * (end.max() - zero))
    axes.set_title(
        f"{len(rows)} {_rows_are(report)} on {len(set(workers))} workers "
        f"in {end.max() - zero:.1f} s",
        loc="left",
    )
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=4, frameon=False)


def _rows_are(report: ak.Array) -> str:
    """Return what a row is: a partition, unless partitions hold several files."""
    return "partitions" if len(set(report.partition.to_list())) == len(report) else "files"


def _name_workers(axes: Axes, workers: np.ndarray) -> None:
    names, firsts, counts = np.unique(workers, return_index=True, return_counts=True)
    for first in firsts[1:]:
        axes.axhline(first - 0.5, color=_BETWEEN, linewidth=0.5)
    axes.set_yticks(firsts + (counts - 1) / 2, [str(name).rpartition("://")[2] for name in names])
    axes.tick_params(axis="y", length=0)
