"""Figures of the benchmarks: ratios against a peer, measured by turns in one run."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from _common import show, verdict  # type: ignore[import-not-found]

__all__ = ["HEAD", "VARIABLE", "Figure", "figure", "load", "report"]

# Where `run.py` has each script write its figures.
VARIABLE = "SERVICEX_LAYER_FIGURES"


@dataclass(frozen=True)
class Figure:
    """One line of the table of benchmarks."""

    what: str
    peer: str
    ratios: Sequence[float]
    """Ours divided by the peer's, for each round."""
    most: float
    """What is aimed at, for the median."""
    ours: str
    """Our median, with its unit."""
    theirs: str

    def cells(self) -> tuple[str, ...]:
        """Write it as a row."""
        median = statistics.median(self.ratios)
        return (
            self.what,
            self.peer,
            self.ours,
            self.theirs,
            f"{median:.2g}" if median < 0.1 else f"{median:.2f}",
            f"{min(self.ratios):.2g} - {max(self.ratios):.2g}",
            f"{self.most:g}",
            verdict(median, self.most),
        )


HEAD = ("what", "peer", "ours", "the peer's", "ratio", "spread", "at most", "kept")


def figure(
    what: str,
    peer: str,
    ours: Sequence[float],
    theirs: Sequence[float],
    most: float,
    unit: str = "s",
) -> Figure:
    """Make a figure of what was measured, round by round."""
    return Figure(
        what,
        peer,
        [one / other for one, other in zip(ours, theirs, strict=True)],
        most,
        f"{statistics.median(ours):.3g} {unit}",
        f"{statistics.median(theirs):.3g} {unit}",
    )


def report(title: str, figures: Sequence[Figure]) -> None:
    """Print figures, and hand them on where `run.py` asks for them."""
    show(title, HEAD, [one.cells() for one in figures])
    path = os.environ.get(VARIABLE)
    if path is not None:
        Path(path).write_text(json.dumps([asdict(one) for one in figures]))


def load(path: Path) -> list[Figure]:
    """Read the figures that a script handed on."""
    return [Figure(**one) for one in json.loads(path.read_text())]
