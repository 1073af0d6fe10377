"""A running transform, computed while its files finish: beside waiting, and then `uproot.dask`."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import awkward as ak
import dask
import uproot
from _common import (  # type: ignore[import-not-found]
    EVENTS,
    FORM,
    ServiceProcess,
    cluster_of,
    service_process,
    tiny_files,
    urls_of,
)
from _figures import figure, report  # type: ignore[import-not-found]
from dask_awkward.lib.core import Array, map_partitions

import servicex_layer as sxl
from servicex_layer.forms import as_form

_FILES = 60
_WORKERS = 2
_INTERVAL = 0.25


class Work:
    """An analysis that takes its time for each partition, and tells when.

    It sleeps: the workers of a cluster have cores of their own, which those of this machine share
    with the scheduler, ServiceX and whatever else it does.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self, events: ak.Array) -> ak.Array:
        """Give one record: the sum of the events' numbers, and when it began and ended."""
        begin = time.time()
        total = ak.sum(events.event)
        if ak.backend(events) == "typetracer":
            return typetracer_of_records()
        time.sleep(self.seconds)
        return ak.Array([{"total": int(total), "begin": begin, "end": time.time()}])


def typetracer_of_records() -> ak.Array:
    """Give a record without its data."""
    return ak.to_backend(ak.Array([{"total": 0, "begin": 0.0, "end": 0.0}]), "typetracer")


def work_on(events: Array, seconds: float) -> Array:
    """Have each partition worked on, in tasks of its own."""
    records: Array = map_partitions(Work(seconds), events, meta=typetracer_of_records())
    return records


def by_us(request_id: str, seconds: float) -> Any:
    """Compute while it is running."""
    return work_on(sxl.from_servicex(request_id, form=FORM), seconds).compute()


def by_uproot(request_id: str, seconds: float) -> Any:
    """Wait for the last file, then compute."""
    files = dict.fromkeys(urls_of(request_id, _INTERVAL), "events")
    events = uproot.dask(files, open_files=False, known_base_form=as_form(FORM))
    return work_on(events, seconds).compute()


def run(way: Any, service: ServiceProcess, paths: list[Path], seconds: float) -> dict[str, float]:
    """Measure one way on a transform of its own, from its start."""
    request_id = service.submit(paths, manual=True)
    service.wait_until_transformed(request_id, len(paths))
    begin = service.release_over(request_id, range(len(paths)), seconds)
    records = way(request_id, _WORKERS * seconds / len(paths))
    end = time.time()
    number = EVENTS * len(paths)
    if len(records) != len(paths) or ak.sum(records.total) != number * (number - 1) // 2:
        raise SystemExit(f"WRONG RESULT: {records.total.to_list()}")
    worked = records.end - records.begin
    return {
        "result": end - begin,
        "first": float(ak.min(records.begin)) - begin,
        "bound": max(seconds, float(ak.sum(worked)) / _WORKERS) + float(ak.mean(worked)),
    }


def main() -> None:
    """Measure by turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="%(default)s")
    parser.add_argument("--seconds", type=float, default=15.0, help="T; %(default)s")
    options, _ = parser.parse_known_args()
    ours: list[dict[str, float]] = []
    theirs: list[dict[str, float]] = []
    with (
        dask.config.set({"servicex-layer.poll-interval": _INTERVAL}),
        tiny_files(_FILES) as paths,
        service_process() as service,
        cluster_of(_WORKERS),
    ):
        # Each worker imports what it needs.
        for way in (by_us, by_uproot):
            run(way, service, paths[:4], 0.1)
        for _ in range(options.rounds):
            for way, runs in ((by_us, ours), (by_uproot, theirs)):
                runs.append(run(way, service, paths, options.seconds))

    def both(what: str) -> tuple[list[float], list[float]]:
        return [one[what] for one in ours], [one[what] for one in theirs]

    waiting = "wait for Complete, then uproot.dask over the URLs"
    bound = "max(last file finished, computing) + one partition"
    report(
        f"A running transform: {_FILES} files over T = {options.seconds:g} s, computing takes T "
        f"on {_WORKERS} workers",
        [
            figure("running transform: time to result", waiting, *both("result"), 0.58),
            figure(
                "the same",
                bound,
                [one["result"] for one in ours],
                [one["bound"] for one in ours],
                1.10,
            ),
            figure("running transform: time to the first partition", waiting, *both("first"), 0.05),
        ],
    )


if __name__ == "__main__":
    main()
