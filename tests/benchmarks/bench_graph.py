"""Build, optimize and materialize the graph of a small analysis, beside `uproot.dask`'s.

It needs no server: nothing is read.
"""

from __future__ import annotations

import gc
import pickle
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import awkward as ak
from _arrays import layers_array, uproot_array  # type: ignore[import-not-found]
from _command_line import parse_numbers  # type: ignore[import-not-found]
from _figures import Figure, report  # type: ignore[import-not-found]
from _table import print_table  # type: ignore[import-not-found]
from _tiny_files import FORM  # type: ignore[import-not-found]
from dask.base import optimize
from dask_awkward.lib.core import Array

_PEER = "uproot.dask(open_files=False, known_base_form=…)"
_REQUEST_ID = "0" * 36


class Cost(NamedTuple):
    """What one graph costs: seconds of each step, tasks, and bytes when pickled."""

    build: float
    optimize: float
    materialize: float
    pickled: int
    tasks: int

    @property
    def total(self) -> float:
        """Seconds of all steps."""
        return self.build + self.optimize + self.materialize


def two_layers(files: int) -> Array:
    """Make an array of the two layers."""
    events: Array = layers_array(_REQUEST_ID, files, FORM)
    return events


def fused(files: int) -> Array:
    """Make an array of the load layer alone."""
    events: Array = layers_array(_REQUEST_ID, files, FORM, fuse=True)
    return events


def peer(files: int) -> Array:
    """Make an array of as many file names with `uproot.dask`."""
    names = (f"/store/user/someone/request/result_{number}.root" for number in range(files))
    events: Array = uproot_array(names, FORM)
    return events


_MAKERS = {_PEER: peer, "two layers": two_layers, "fused": fused}


def measure(make_events: Callable[[int], Array], files: int) -> Cost:
    """Measure from the call that makes the array to the last task."""
    gc.collect()
    start = time.perf_counter()
    events = make_events(files)
    total = ak.sum(events.x[events.x > 1])
    built = time.perf_counter()
    (optimized,) = optimize(total)
    end = time.perf_counter()
    # The client sends the graph to a scheduler before it has tasks.
    pickled = len(pickle.dumps(optimized.dask))
    materialize_start = time.perf_counter()
    tasks = optimized.dask.to_dict()
    materialized = time.perf_counter()
    return Cost(built - start, end - built, materialized - materialize_start, pickled, len(tasks))


def medians_of(costs: list[Cost]) -> Cost:
    """Return the median of each number."""
    return Cost(*(statistics.median(column) for column in zip(*costs, strict=True)))


def print_medians(
    files: int, rounds: int, medians: dict[str, Cost], smaller: dict[str, Cost]
) -> None:
    """Print medians, and their growth from those of a tenth of the partitions."""
    print_table(
        f"{files:,} partitions: medians of {rounds} rounds, in ms",
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
                *(f"{1e3 * seconds:.1f}" for seconds in cost[:3]),
                f"{1e3 * cost.total:.1f}",
                f"{cost.total / smaller[name].total:.1f}" if smaller else "",
                f"{cost.tasks:,.0f}",
                f"{cost.pickled / 1e3:,.1f}",
            )
            for name, cost in medians.items()
        ],
    )


def figures_of(files: int, costs: dict[str, list[Cost]]) -> list[Figure]:
    """Compare the total times with the peer's."""
    milliseconds = {name: [1e3 * cost.total for cost in each] for name, each in costs.items()}
    return [
        Figure(
            f"graph of {files:,} partitions, {name}",
            _PEER,
            milliseconds[name],
            milliseconds[_PEER],
            bound=1.0,
            unit="ms",
        )
        for name in ("two layers", "fused")
    ]


def figure_of_size(files: int, costs: dict[str, list[Cost]]) -> Figure:
    """Compare the size of the pickled graph with the peer's."""
    kilobytes = {name: [cost.pickled / 1e3 for cost in each] for name, each in costs.items()}
    return Figure(
        f"pickled graph of {files:,} partitions",
        _PEER,
        kilobytes["two layers"],
        kilobytes[_PEER],
        bound=0.01,
        unit="kB",
    )


def main() -> None:
    """Measure three sizes, the graphs in turns."""
    numbers = parse_numbers(__doc__, files=100_000, rounds=5)
    largest, rounds = numbers.files, numbers.rounds
    for make_events in _MAKERS.values():
        measure(make_events, 10)
    figures = []
    smaller: dict[str, Cost] = {}
    for files in (largest // 100, largest // 10, largest):
        costs: dict[str, list[Cost]] = {name: [] for name in _MAKERS}
        for _ in range(rounds):
            for name, make_events in _MAKERS.items():
                costs[name].append(measure(make_events, files))
        medians = {name: medians_of(each) for name, each in costs.items()}
        print_medians(files, rounds, medians, smaller)
        figures += figures_of(files, costs)
        smaller = medians
    figures.append(figure_of_size(largest, costs))
    report("Build, optimize and materialize a graph", figures)


if __name__ == "__main__":
    main()
