"""Many requests at once, for minutes, while calls fail, files fail and workers are killed."""

from __future__ import annotations

import logging
import os
import random
import signal
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
import numpy as np
import psutil  # type: ignore[import-untyped]
from _common import (  # type: ignore[import-not-found]
    EVENTS,
    FORM,
    cluster_of,
    number_of_files,
    service_process,
    show,
    tiny_files,
    verdict,
)
from dask.base import compute
from distributed import Client

from servicex_layer import from_servicex
from servicex_layer.errors import FailedFilesWarning
from servicex_layer.local import Faults, HttpFault
from servicex_layer.report import failures

_REQUESTS = 20
_WORKERS = 3
_SECONDS_PER_FILE = 1.5
_FAILING_CALLS = 0.05
_FAILING_FILES = 0.02
_KILL_EVERY = 10.0
_ROUTES = ("info", "status", "results", "file-urls", "file")
_HELD = (
    *("threads", "connections", "MB"),
    *("worker's threads", "worker's connections", "worker's MB"),
)
_KINDS: tuple[dict[str, Any], ...] = ({"status": 503}, {"cut": 0}, {"cut": 20})


def main() -> None:
    """Compute round after round, and compare what the process holds after each."""
    files = number_of_files(__doc__, 200)
    seconds = files * _SECONDS_PER_FILE
    http = [
        HttpFault(route=route, fraction=_FAILING_CALLS / len(_KINDS), **kind)
        for route in _ROUTES
        for kind in _KINDS
    ]
    settings = {
        "servicex-layer.poll-interval": "500ms",
        "distributed.scheduler.allowed-failures": 10,
        # LocalCluster gives a worker up that is away so long after it was lost, also where it
        # was back meanwhile and was lost again.
        "distributed.deploy.lost-worker-timeout": "1h",
    }
    # They tell of lost workers and failed files, of which there are many.
    warnings.simplefilter("ignore", FailedFilesWarning)
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    rounds: list[tuple[object, ...]] = []
    held: list[tuple[float, ...]] = []
    with (
        dask.config.set(settings),
        tiny_files(files) as paths,
        service_process(
            parallelism=2, seed=1, faults=Faults(failing=_FAILING_FILES, http=http)
        ) as service,
        cluster_of(_WORKERS) as client,
    ):
        spared = min(pids_of(client))
        start = time.perf_counter()
        while len(rounds) < 3 or time.perf_counter() - start < seconds:
            began = time.perf_counter()
            service.take_traffic()
            with killing(client, spared) as killed:
                failed = one_round([service.submit(paths) for _ in range(_REQUESTS)], files)
            calls, _ = service.take_traffic()
            held.append((*holding(os.getpid()), *holding(spared)))
            rounds.append(
                (
                    len(rounds) + 1,
                    f"{time.perf_counter() - began:.0f}",
                    _REQUESTS * files,
                    failed,
                    len(killed),
                    sum(calls.values()),
                    *(f"{one:.0f}" for one in held[-1]),
                )
            )
    show(
        f"{_REQUESTS} requests of {files} files at once, {_FAILING_CALLS:.0%} of the calls and "
        f"{_FAILING_FILES:.0%} of the files failing, {_WORKERS} workers: every file once, every "
        "failed one in the report",
        (
            "round",
            "seconds",
            "partitions",
            "failed",
            "workers killed",
            "calls",
            *_HELD,
        ),
        rounds,
    )
    # The first round imports and connects.
    before, after = held[1], held[-1]
    show(
        "what the client's and scheduler's process holds, and a worker that is not killed: "
        "growth since the second round",
        ("", "growth", "bound", "kept"),
        [
            (name, f"{new - old:.0f}", bound, verdict(new - old, bound))
            for name, old, new, bound in zip(_HELD, before, after, 2 * (2, 4, 40), strict=True)
        ],
    )


def one_round(requests: Sequence[str], files: int) -> int:
    """Compute requests at once; ends the benchmark where a result is not the right one."""
    pairs = [from_servicex(request, form=FORM, report=True) for request in requests]
    found = compute(*[(events.event, report) for events, report in pairs])
    count = 0
    for request, (events, report) in zip(requests, found, strict=True):
        reported = sorted(one for one in report.failed.to_list() if one is not None)
        if reported != sorted(failures(request)) or len(report) != files:
            raise SystemExit(f"WRONG REPORT of {request}: {reported}, not {failures(request)}")
        left = set(range(files)) - {int(Path(one).stem) for one in reported}
        expected = [EVENTS * index + event for index in sorted(left) for event in range(EVENTS)]
        if sorted(np.asarray(events).tolist()) != expected:
            raise SystemExit(f"WRONG RESULT of {request}: {len(events)} for {len(expected)} events")
        count += len(reported)
    return count


@contextmanager
def killing(client: Client, spared: int) -> Iterator[list[int]]:
    """Kill a worker now and then, one that runs and is not the spared one."""
    killed: list[int] = []
    over = threading.Event()
    chance = random.Random(0)

    def kill() -> None:
        while not over.wait(chance.uniform(0.5, 1.5) * _KILL_EVERY):
            pids = pids_of(client)
            if len(pids) == _WORKERS:
                killed.append(chance.choice(sorted(pids - {spared})))
                os.kill(killed[-1], signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def pids_of(client: Client) -> set[int]:
    """Tell the processes of the workers that run, without those that a nanny is still starting.

    A nanny gives up one that is killed so early.
    """
    cluster: Any = client.cluster
    ready = set(cluster.scheduler.workers)
    nannies = cluster.workers.values()
    return {nanny.pid for nanny in nannies if nanny.worker_address in ready}


def holding(pid: int) -> tuple[float, ...]:
    """Tell how many threads, connections and megabytes a process has."""
    process = psutil.Process(pid)
    return process.num_threads(), len(process.net_connections()), process.memory_info().rss / 1e6


if __name__ == "__main__":
    main()
