"""Build, optimize and materialize the graph of a small analysis, beside `uproot.dask`'s.

No server is needed: nothing is read.
"""

from __future__ import annotations

import gc
import pickle
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import awkward as ak
import uproot
from _common import FORM, by_hand, number_of_files, show  # type: ignore[import-not-found]
from _figures import figure, report  # type: ignore[import-not-found]
from dask.base import optimize
from dask_awkward.lib.core import Array

from servicex_layer.forms import as_form

_REPEATS = 5
_PEER = "uproot.dask(open_files=False, known_base_form=…)"


class Run(NamedTuple):
    """Seconds of each step, and bytes of the pickled graph."""

    build: float
    optimize: float
    materialize: float
    pickled: int
    tasks: int

    @property
    def total(self) -> float:
        """Seconds of all steps."""
        return self.build + self.optimize + self.materialize


def uproot_dask(files: int) -> Array:
    """Make an array over as many file names, none of which is opened."""
    names = {
        f"/store/user/someone/request/result_{number}.root": "events" for number in range(files)
    }
    events: Array = uproot.dask(names, open_files=False, known_base_form=as_form(FORM))
    return events


def run(make: Callable[[int], Array], files: int) -> Run:
    """Go from nothing to the tasks."""
    gc.collect()
    start = time.perf_counter()
    events = make(files)
    total = ak.sum(events.x[events.x > 1])
    built = time.perf_counter()
    (optimized,) = optimize(total)
    end = time.perf_counter()
    # As the client sends it to a scheduler: before there are tasks.
    pickled = len(pickle.dumps(optimized.dask))
    start_again = time.perf_counter()
    tasks = optimized.dask.to_dict()
    materialized = time.perf_counter()
    return Run(built - start, end - built, materialized - start_again, pickled, len(tasks))


def median(runs: list[Run]) -> Run:
    """Take the median of each number."""
    return Run(*(statistics.median(column) for column in zip(*runs, strict=True)))


def main() -> None:
    """Measure by turns, so that what else the machine does hits all alike."""
    most = number_of_files(__doc__, 100_000)
    makers: dict[str, Callable[[int], Array]] = {
        _PEER: uproot_dask,
        "two layers": partial(by_hand, "0" * 36),
        "fused": partial(by_hand, "0" * 36, fuse=True),
    }
    for make in makers.values():
        run(make, 10)
    figures = []
    before: dict[str, Run] = {}
    for files in (most // 100, most // 10, most):
        runs: dict[str, list[Run]] = {name: [] for name in makers}
        for _ in range(_REPEATS):
            for name, make in makers.items():
                runs[name].append(run(make, files))
        medians = {name: median(of_one) for name, of_one in runs.items()}
        show(
            f"{files:,} partitions: medians of {_REPEATS} runs, in ms",
            (
                "graph",
                "build",
                "optimize",
                "materialize",
                "total",
                "growth per 10x",
                "tasks",
                "pickled kB",
            ),
            [
                (
                    name,
                    *(f"{1e3 * seconds:.1f}" for seconds in one[:3]),
                    f"{1e3 * one.total:.1f}",
                    f"{one.total / before[name].total:.1f}" if before else "",
                    f"{one.tasks:,.0f}",
                    f"{one.pickled / 1e3:,.1f}",
                )
                for name, one in medians.items()
            ],
        )
        theirs = runs[_PEER]
        for name in ("two layers", "fused"):
            times = [1e3 * one.total for one in runs[name]]
            figures.append(
                figure(
                    f"graph of {files:,} partitions, {name}",
                    _PEER,
                    times,
                    [1e3 * one.total for one in theirs],
                    1.0,
                    "ms",
                )
            )
        if files == most:
            figures.append(
                figure(
                    f"pickled graph of {files:,} partitions",
                    _PEER,
                    [one.pickled / 1e3 for one in runs["two layers"]],
                    [one.pickled / 1e3 for one in theirs],
                    0.01,
                    "kB",
                )
            )
        before = medians
    report("Build, optimize and materialize a graph", figures)


if __name__ == "__main__":
    main()
