"""A finished request of many small local files, beside `uproot.dask` over the same files."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import awkward as ak
import dask
import numpy as np
import uproot
from _arrays import uproot_array  # type: ignore[import-not-found]
from _cluster import cluster_of  # type: ignore[import-not-found]
from _command_line import parse_numbers  # type: ignore[import-not-found]
from _completed import wait_for_results  # type: ignore[import-not-found]
from _figures import Figure, report  # type: ignore[import-not-found]
from _service import service_process  # type: ignore[import-not-found]
from _turns import time_in_turns  # type: ignore[import-not-found]
from dask_awkward.lib.core import Array

import servicex_layer as sxl

_FORM = "{event: int64, x: float64, y: float64, nv: int32, v: var * float64}"
_EVENTS_PER_FILE = 1000
_PEER = "uproot.dask over the same files, known form"


def write(directory: Path, count: int) -> list[Path]:
    """Write files of about 50 kB each, in which all events are numbered from 0 on."""
    generator = np.random.default_rng(1)
    paths = []
    for index in range(count):
        lengths = generator.integers(0, 5, _EVENTS_PER_FILE)
        columns = {
            "event": np.arange(_EVENTS_PER_FILE) + _EVENTS_PER_FILE * index,
            "x": generator.normal(size=_EVENTS_PER_FILE),
            "y": generator.normal(size=_EVENTS_PER_FILE),
            "v": ak.unflatten(generator.normal(size=lengths.sum()), lengths),
        }
        paths.append(directory / f"{index:06}.root")
        with uproot.recreate(paths[-1], compression=None) as file:
            file.mktree("events", columns)
    return paths


def analyse(make_events: Callable[[], Array]) -> Any:
    """Make an array and reduce three of its columns; the sums show that each event was read."""
    events = make_events()
    sums = ak.sum(events.event), ak.sum(events.v[events.v > 1]), ak.count(events.x)
    return dask.compute(*sums)  # type: ignore[attr-defined]


def check_sums(results: list[Any], files: int) -> None:
    """End the benchmark if results differ or not every event was read exactly once."""
    first, *others = [np.array(sums, dtype=float) for sums in results]
    count = files * _EVENTS_PER_FILE
    wrong = first[0] != count * (count - 1) // 2 or first[2] != count
    if wrong or not all(np.allclose(first, other, rtol=1e-12) for other in others):
        raise SystemExit(f"WRONG RESULT: {results}")


def peak_memory(analysis: Callable[[], Any]) -> float:
    """Return the peak memory of the larger worker, in MB."""
    # A process never forgets its peak: each analysis needs new ones.
    with cluster_of(2) as client:
        client.run(_import_readers)
        analysis()
        peaks: dict[str, float] = client.run(_own_peak_memory)
    return max(peaks.values())


def _import_readers() -> None:
    import uproot  # noqa: F401

    import servicex_layer.graph
    import servicex_layer.reading._root  # noqa: F401


def _own_peak_memory() -> float:
    if sys.platform == "win32":
        return float("nan")
    else:  # noqa: RET505  (mypy would call it unreachable on Windows)
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main() -> None:
    """Measure on a cluster, on threads and on the synchronous scheduler."""
    numbers = parse_numbers(__doc__, rounds=5, small_files=1000)
    rounds, files = numbers.rounds, numbers.small_files
    with (
        TemporaryDirectory(prefix="servicex-layer-bench-") as directory,
        service_process() as service,
    ):
        request_id = service.submit(write(Path(directory), files), result_destination="volume")
        paths = wait_for_results(request_id)
        analyses = {
            "ours": partial(analyse, partial(sxl.from_servicex, request_id, form=_FORM)),
            "theirs": partial(analyse, partial(uproot_array, paths, _FORM)),
        }
        with cluster_of(2):
            on_cluster, results = time_in_turns(analyses, rounds)
        with dask.config.set(scheduler="threads"):
            on_threads, more_results = time_in_turns(analyses, rounds)
        results += more_results
        with dask.config.set(scheduler="sync"):
            on_sync, more_results = time_in_turns(analyses, rounds)
        results += more_results
        memory = {
            name: [peak_memory(analysis) for _ in range(rounds)]
            for name, analysis in analyses.items()
        }
    check_sums(results, files)
    name = f"finished request: {files} files of 50 kB, LocalCluster(processes=True) of 2"
    report(
        "A finished request of small local files",
        [
            Figure(name, _PEER, on_cluster["ours"], on_cluster["theirs"], bound=1.05),
            Figure(
                "the same on threads", _PEER, on_threads["ours"], on_threads["theirs"], bound=1.02
            ),
            Figure("the same on sync", _PEER, on_sync["ours"], on_sync["theirs"], bound=1.02),
            Figure(
                "the same: memory of the larger worker",
                _PEER,
                memory["ours"],
                memory["theirs"],
                bound=1.1,
                unit="MB",
            ),
        ],
    )


if __name__ == "__main__":
    main()
