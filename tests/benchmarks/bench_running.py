"""A transform analysed while it runs, beside waiting for its end and then using `uproot.dask`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import awkward as ak
import dask
from _arrays import uproot_array  # type: ignore[import-not-found]
from _cluster import cluster_of  # type: ignore[import-not-found]
from _command_line import parse_numbers  # type: ignore[import-not-found]
from _completed import wait_for_urls  # type: ignore[import-not-found]
from _figures import Figure, report  # type: ignore[import-not-found]
from _service import ServiceProcess, service_process  # type: ignore[import-not-found]
from _tiny_files import EVENTS_PER_FILE, FORM, tiny_files  # type: ignore[import-not-found]
from dask_awkward.lib.core import Array, map_partitions

import servicex_layer as sxl

_FILES = 60
_WORKERS = 2
_INTERVAL = 0.25


class SlowAnalysis:
    """An analysis that takes a while for each partition, and records when it ran.

    It sleeps, as workers of a real cluster have cores of their own. Here they share the cores with
    the scheduler, ServiceX and everything else.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self, events: ak.Array) -> ak.Array:
        """Return one record: the sum of the events' numbers, the begin and the end."""
        begin = time.time()
        total = ak.sum(events.event)
        if ak.backend(events) == "typetracer":
            return record_typetracer()
        time.sleep(self.seconds)
        return ak.Array([{"total": int(total), "begin": begin, "end": time.time()}])


def record_typetracer() -> ak.Array:
    """Return a record without its data."""
    return ak.to_backend(ak.Array([{"total": 0, "begin": 0.0, "end": 0.0}]), "typetracer")


def analyse(events: Array, seconds: float) -> ak.Array:
    """Compute the records of all partitions."""
    return map_partitions(SlowAnalysis(seconds), events, meta=record_typetracer()).compute()


def analyse_while_running(request_id: str, seconds: float) -> ak.Array:
    """Compute while files finish."""
    return analyse(sxl.from_servicex(request_id, form=FORM), seconds)


def analyse_when_complete(request_id: str, seconds: float) -> ak.Array:
    """Wait for the last file, then compute."""
    return analyse(uproot_array(wait_for_urls(request_id, _INTERVAL), FORM), seconds)


def measure(
    analysis: Callable[[str, float], ak.Array],
    service: ServiceProcess,
    paths: list[Path],
    seconds: float,
) -> dict[str, float]:
    """Run an analysis during a transform of its own.

    Returns
    -------
    dict[str, float]
        Seconds from the transform's start to the result, to the first partition, and, as the
        least that is possible, to the result of an analysis that never waits without need.
    """
    request_id = service.submit(paths, manual=True)
    service.wait_until_transformed(request_id, len(paths))
    begin = service.release_evenly(request_id, range(len(paths)), seconds)
    records = analysis(request_id, _WORKERS * seconds / len(paths))
    end = time.time()
    count = EVENTS_PER_FILE * len(paths)
    if len(records) != len(paths) or ak.sum(records.total) != count * (count - 1) // 2:
        raise SystemExit(f"WRONG RESULT: {records.total.to_list()}")
    durations = records.end - records.begin
    return {
        "result": end - begin,
        "first": float(ak.min(records.begin)) - begin,
        "limit": max(seconds, float(ak.sum(durations)) / _WORKERS) + float(ak.mean(durations)),
    }


def main() -> None:
    """Measure in turns."""
    numbers = parse_numbers(__doc__, rounds=5, seconds=15.0)
    analyses = {"ours": analyse_while_running, "theirs": analyse_when_complete}
    times: dict[str, list[dict[str, float]]] = {name: [] for name in analyses}
    with (
        dask.config.set({"servicex-layer.poll-interval": _INTERVAL}),
        tiny_files(_FILES) as paths,
        service_process() as service,
        cluster_of(_WORKERS),
    ):
        # Have the workers import what they need.
        for analysis in analyses.values():
            measure(analysis, service, paths[:4], 0.1)
        for _ in range(numbers.rounds):
            for name, analysis in analyses.items():
                times[name].append(measure(analysis, service, paths, numbers.seconds))

    def rounds(name: str, quantity: str) -> list[float]:
        return [seconds[quantity] for seconds in times[name]]

    peer = "wait for Complete, then uproot.dask over the URLs"
    report(
        f"A running transform: {_FILES} files over T = {numbers.seconds:g} s, computing takes T "
        f"on {_WORKERS} workers",
        [
            Figure(
                "running transform: time to result",
                peer,
                rounds("ours", "result"),
                rounds("theirs", "result"),
                bound=0.58,
            ),
            Figure(
                "the same",
                "max(last file finished, computing) + one partition",
                rounds("ours", "result"),
                rounds("ours", "limit"),
                bound=1.10,
            ),
            Figure(
                "running transform: time to the first partition",
                peer,
                rounds("ours", "first"),
                rounds("theirs", "first"),
                bound=0.05,
            ),
        ],
    )


if __name__ == "__main__":
    main()
