"""A coffea processor on a running transform, beside waiting for its end and then Runner."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import dask
from _cluster import cluster_of  # type: ignore[import-not-found]
from _command_line import parse_numbers  # type: ignore[import-not-found]
from _completed import wait_for_urls  # type: ignore[import-not-found]
from _figures import Figure, report  # type: ignore[import-not-found]
from _service import ServiceProcess, service_process  # type: ignore[import-not-found]
from _tiny_files import EVENTS_PER_FILE, tiny_files  # type: ignore[import-not-found]
from coffea.nanoevents import BaseSchema
from coffea.processor import DaskExecutor, ProcessorABC, Runner
from distributed import Client

import servicex_layer as sxl

_FILES = 60
_WORKERS = 2
_INTERVAL = 0.25


class SlowProcessor(ProcessorABC):  # type: ignore[misc]
    """A processor that takes a while for each file.

    It sleeps, as workers of a real cluster have cores of their own. Here they share the cores with
    the scheduler, ServiceX and everything else.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def process(self, events: Any) -> dict[str, int]:
        """Return the sum of the events' numbers."""
        total = int(ak.sum(events.event))
        time.sleep(self.seconds)
        return {"files": 1, "total": total}

    def postprocess(self, accumulator: Any) -> None:
        """Leave the result as it is."""


def map_files(request_id: str, processor: ProcessorABC) -> Any:
    """Call the processor with each file as soon as it is finished."""
    return sxl.map_files(processor, request_id, schema=BaseSchema).compute()


def runner_on_work_items(request_id: str, processor: ProcessorABC) -> Any:
    """Have coffea's Runner wait for each file."""
    return new_runner()(sxl.work_items(request_id, tree="events"), processor)


def runner_when_complete(request_id: str, processor: ProcessorABC) -> Any:
    """Wait for the last file, then have coffea's Runner list and process all."""
    return new_runner()({"all": wait_for_urls(request_id, _INTERVAL)}, processor, treename="events")


def new_runner() -> Runner:
    """Return a runner on the cluster, which remembers no file of other runs."""
    executor = DaskExecutor(client=Client.current(), status=False)
    return Runner(executor, schema=BaseSchema, metadata_cache={})


def measure(
    analysis: Callable[[str, ProcessorABC], Any],
    service: ServiceProcess,
    paths: list[Path],
    seconds: float,
) -> float:
    """Return the seconds from the start of a transform to the result of an analysis."""
    request_id = service.submit(paths, manual=True)
    service.wait_until_transformed(request_id, len(paths))
    begin = service.release_evenly(request_id, range(len(paths)), seconds)
    result = analysis(request_id, SlowProcessor(_WORKERS * seconds / len(paths)))
    end = time.time()
    count = EVENTS_PER_FILE * len(paths)
    if result != {"files": len(paths), "total": count * (count - 1) // 2}:
        raise SystemExit(f"WRONG RESULT: {result}")
    return float(end - begin)


def main() -> None:
    """Measure in turns."""
    numbers = parse_numbers(__doc__, rounds=5, seconds=15.0)
    analyses = {
        "map_files": map_files,
        "work_items": runner_on_work_items,
        "theirs": runner_when_complete,
    }
    times: dict[str, list[float]] = {name: [] for name in analyses}
    warnings.simplefilter("ignore")
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
    peer = "wait for Complete, then coffea's Runner(DaskExecutor) on the URLs"
    report(
        f"A coffea processor on a running transform: {_FILES} files over T = {numbers.seconds:g} s,"
        f" computing takes T on {_WORKERS} workers",
        [
            Figure(
                "running transform, map_files with a processor: time to result",
                peer,
                times["map_files"],
                times["theirs"],
                bound=0.6,
            ),
            Figure(
                "the same, Runner on work_items",
                peer,
                times["work_items"],
                times["theirs"],
                bound=0.6,
            ),
        ],
    )


if __name__ == "__main__":
    main()
