"""A finished request of many small local files, beside `uproot.dask` over the same files."""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import awkward as ak
import dask
import numpy as np
import uproot
from _common import cluster_of, results_of, service_process  # type: ignore[import-not-found]
from _figures import figure, report  # type: ignore[import-not-found]
from dask_awkward.lib.core import Array
from distributed import Client

import servicex_layer as sxl
from servicex_layer.forms import as_form

_FORM = "{event: int64, x: float64, y: float64, nv: int32, v: var * float64}"
_EVENTS = 1000
_PEER = "uproot.dask over the same files, known form"

Ways = dict[str, Callable[[], Array]]


def write(directory: Path, count: int) -> list[Path]:
    """Write files of about 50 kB."""
    chance = np.random.default_rng(1)
    paths = []
    for index in range(count):
        lengths = chance.integers(0, 5, _EVENTS)
        columns = {
            "event": np.arange(_EVENTS) + _EVENTS * index,
            "x": chance.normal(size=_EVENTS),
            "y": chance.normal(size=_EVENTS),
            "v": ak.unflatten(chance.normal(size=lengths.sum()), lengths),
        }
        paths.append(directory / f"{index:06}.root")
        with uproot.recreate(paths[-1], compression=None) as file:
            file.mktree("events", columns)
    return paths


def analysis(events: Array) -> Any:
    """Use three of the columns; what comes tells whether each event was read once."""
    return ak.sum(events.event), ak.sum(events.v[events.v > 1]), ak.count(events.x)


def by_us(request_id: str) -> Array:
    """Make an array of a request that is over."""
    return sxl.from_servicex(request_id, form=_FORM)


def by_uproot(paths: list[str]) -> Array:
    """Make an array of the files, none of which is opened."""
    files = dict.fromkeys(paths, "events")
    events: Array = uproot.dask(files, open_files=False, known_base_form=as_form(_FORM))
    return events


def seconds(make: Callable[[], Array], found: list[Any]) -> float:
    """Measure from nothing to the result."""
    start = time.perf_counter()
    found.append(dask.compute(*analysis(make())))  # type: ignore[attr-defined]
    return time.perf_counter() - start


def check(found: list[Any], files: int) -> None:
    """End the benchmark where results differ, or not every event was read once."""
    first, *others = [np.array(one, dtype=float) for one in found]
    number = files * _EVENTS
    wrong = first[0] != number * (number - 1) // 2 or first[2] != number
    if wrong or not all(np.allclose(first, other, rtol=1e-12) for other in others):
        raise SystemExit(f"WRONG RESULT: {found}")


def most_memory(client: Client) -> float:
    """Tell how much memory the largest worker has had, in MB."""
    each: dict[str, float] = client.run(_most_memory)
    return max(each.values())


def _most_memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def by_turns(ways: Ways, rounds: int, found: list[Any]) -> dict[str, list[float]]:
    """Measure each way so many times, after one round that imports."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, make in ways.items():
            times[name].append(seconds(make, found))
    return {name: each[1:] for name, each in times.items()}


def most_memory_of(make: Callable[[], Array], rounds: int, found: list[Any]) -> list[float]:
    """Measure in a cluster of its own each time: what it has had of memory is what this took."""
    most = []
    for _ in range(rounds):
        with cluster_of(2) as client:
            client.run(_warm_up)
            seconds(make, found)
            most.append(most_memory(client))
    return most


def main() -> None:
    """Measure by turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="%(default)s")
    parser.add_argument("--small-files", type=int, default=1000, help="%(default)s")
    options, _ = parser.parse_known_args()
    rounds, count = options.rounds, options.small_files
    found: list[Any] = []
    with (
        TemporaryDirectory(prefix="servicex-layer-bench-") as directory,
        service_process() as service,
    ):
        request_id = service.submit(write(Path(directory), count), result_destination="volume")
        paths = results_of(request_id)
        ways: Ways = {"ours": lambda: by_us(request_id), "theirs": lambda: by_uproot(paths)}
        with cluster_of(2):
            on_cluster = by_turns(ways, rounds, found)
        with dask.config.set(scheduler="threads"):
            on_threads = by_turns(ways, rounds, found)
        with dask.config.set(scheduler="sync"):
            on_sync = by_turns(ways, rounds, found)
        memory = {name: most_memory_of(make, rounds, found) for name, make in ways.items()}
    check(found, count)
    what = f"finished request: {count} files of 50 kB, LocalCluster(processes=True) of 2"
    report(
        "A finished request of small local files",
        [
            figure(what, _PEER, on_cluster["ours"], on_cluster["theirs"], 1.05),
            figure("the same on threads", _PEER, on_threads["ours"], on_threads["theirs"], 1.02),
            figure("the same on sync", _PEER, on_sync["ours"], on_sync["theirs"], 1.02),
            figure(
                "the same: memory of the larger worker",
                _PEER,
                memory["ours"],
                memory["theirs"],
                1.1,
                "MB",
            ),
        ],
    )


def _warm_up() -> None:
    import dask_awkward  # noqa: F401
    import uproot  # noqa: F401

    import servicex_layer.graph
    import servicex_layer.reading._root  # noqa: F401


if __name__ == "__main__":
    main()
