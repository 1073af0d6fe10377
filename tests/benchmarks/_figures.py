"""Figures: our values beside those of a peer, measured in turns in one run."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from _table import print_table, verdict  # type: ignore[import-not-found]

PATH_VARIABLE = "SERVICEX_LAYER_FIGURES"
"""The environment variable that names the JSON file to which a script writes its figures."""

HEAD = ("measurement", "peer", "ours", "peer's", "ratio", "range", "at most", "met")


@dataclass(frozen=True)
class Figure:
    """One line of the table of benchmarks."""

    name: str
    peer: str
    ours: Sequence[float]
    """Our value in each round."""
    theirs: Sequence[float]
    """The peer's value in each round."""
    bound: float
    """The target: the largest median of the ratios."""
    unit: str = "s"

    def cells(self) -> tuple[str, ...]:
        """Return the cells below `HEAD`."""
        ratios = [ours / theirs for ours, theirs in zip(self.ours, self.theirs, strict=True)]
        median = statistics.median(ratios)
        return (
            self.name,
            self.peer,
            f"{statistics.median(self.ours):.3g} {self.unit}",
            f"{statistics.median(self.theirs):.3g} {self.unit}",
            f"{median:.2g}" if median < 0.1 else f"{median:.2f}",
            f"{min(ratios):.2g} - {max(ratios):.2g}",
            f"{self.bound:g}",
            verdict(median, self.bound),
        )


def report(title: str, figures: Sequence[Figure]) -> None:
    """Print figures, and write them to the file that `PATH_VARIABLE` names, if it is set."""
    print_table(title, HEAD, [figure.cells() for figure in figures])
    path = os.environ.get(PATH_VARIABLE)
    if path is not None:
        Path(path).write_text(json.dumps([asdict(figure) for figure in figures]))
