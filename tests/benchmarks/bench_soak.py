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
from _cluster import cluster_of  # type: ignore[import-not-found]
from _command_line import parse_numbers  # type: ignore[import-not-found]
from _service import service_process  # type: ignore[import-not-found]
from _table import print_table, verdict  # type: ignore[import-not-found]
from _tiny_files import EVENTS_PER_FILE, FORM, tiny_files  # type: ignore[import-not-found]
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
_KILL_INTERVAL = 10.0
_ROUTES = ("info", "status", "results", "file-urls", "file")
_FAULTS: tuple[dict[str, Any], ...] = ({"status": 503}, {"cut": 0}, {"cut": 20})
# What `resources_of` returns, for this process and for a worker that is never killed.
_RESOURCES = (
    *("threads", "connections", "MB"),
    *("worker's threads", "worker's connections", "worker's MB"),
)
_GROWTH_BOUNDS = 2 * (2, 4, 40)


def main() -> None:
    """Compute round after round, and compare the resources in use after each."""
    files = parse_numbers(__doc__, files=200).files
    seconds = files * _SECONDS_PER_FILE
    http = [
        HttpFault(route=route, fraction=_FAILING_CALLS / len(_FAULTS), **fault)
        for route in _ROUTES
        for fault in _FAULTS
    ]
    settings = {
        "servicex-layer.poll-interval": "500ms",
        "distributed.scheduler.allowed-failures": 10,
        # LocalCluster removes a worker this long after its first loss, even if it came back and
        # was lost again in between.
        "distributed.deploy.lost-worker-timeout": "1h",
    }
    # Lost workers and failed files are intended here, and many.
    warnings.simplefilter("ignore", FailedFilesWarning)
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    rows: list[tuple[object, ...]] = []
    resources: list[tuple[float, ...]] = []
    with (
        dask.config.set(settings),
        tiny_files(files) as paths,
        service_process(
            parallelism=2, seed=1, faults=Faults(failing=_FAILING_FILES, http=http)
        ) as service,
        cluster_of(_WORKERS) as client,
    ):
        spared_pid = min(ready_worker_pids(client))
        start = time.perf_counter()
        while len(rows) < 3 or time.perf_counter() - start < seconds:
            round_start = time.perf_counter()
            service.take_traffic()
            with killed_workers(client, spared_pid) as killed_pids:
                request_ids = [service.submit(paths) for _ in range(_REQUESTS)]
                failed_files = compute_all(request_ids, files)
            calls, _ = service.take_traffic()
            resources.append((*resources_of(os.getpid()), *resources_of(spared_pid)))
            rows.append(
                (
                    len(rows) + 1,
                    f"{time.perf_counter() - round_start:.0f}",
                    _REQUESTS * files,
                    failed_files,
                    len(killed_pids),
                    sum(calls.values()),
                    *(f"{amount:.0f}" for amount in resources[-1]),
                )
            )
    print_table(
        f"{_REQUESTS} requests of {files} files at once, {_FAILING_CALLS:.0%} of the calls and "
        f"{_FAILING_FILES:.0%} of the files failing, {_WORKERS} workers: every file was read once, "
        "every failed file is in the report",
        ("round", "seconds", "partitions", "failed", "workers killed", "calls", *_RESOURCES),
        rows,
    )
    # The first round imports and connects.
    growths = [last - second for second, last in zip(resources[1], resources[-1], strict=True)]
    print_table(
        "Resources of the client's and scheduler's process, and of a worker that is never killed: "
        "growth since the second round",
        ("", "growth", "at most", "met"),
        [
            (name, f"{growth:.0f}", bound, verdict(growth, bound))
            for name, growth, bound in zip(_RESOURCES, growths, _GROWTH_BOUNDS, strict=True)
        ],
    )


def compute_all(request_ids: Sequence[str], files: int) -> int:
    """Compute requests at once, and return the number of failed files.

    Raises
    ------
    SystemExit
        If a result or a report is wrong.
    """
    pairs = [from_servicex(request_id, form=FORM, report=True) for request_id in request_ids]
    results = compute(*[(events.event, report) for events, report in pairs])
    failed_files = 0
    for request_id, (events, report) in zip(request_ids, results, strict=True):
        reported = sorted(name for name in report.failed.to_list() if name is not None)
        expected_failures = sorted(failures(request_id))
        if reported != expected_failures or len(report) != files:
            raise SystemExit(
                f"WRONG REPORT of {request_id}: {reported} instead of {expected_failures}"
            )
        indices = set(range(files)) - {int(Path(name).stem) for name in reported}
        expected = [
            EVENTS_PER_FILE * index + event
            for index in sorted(indices)
            for event in range(EVENTS_PER_FILE)
        ]
        if sorted(np.asarray(events).tolist()) != expected:
            raise SystemExit(
                f"WRONG RESULT of {request_id}: {len(events)} instead of {len(expected)} events"
            )
        failed_files += len(reported)
    return failed_files


@contextmanager
def killed_workers(client: Client, spared_pid: int) -> Iterator[list[int]]:
    """Kill a random worker now and then, but never the spared one; yields the killed ones' ids."""
    killed_pids: list[int] = []
    stopped = threading.Event()
    generator = random.Random(0)

    def kill() -> None:
        while not stopped.wait(generator.uniform(0.5, 1.5) * _KILL_INTERVAL):
            pids = ready_worker_pids(client)
            if len(pids) == _WORKERS:
                killed_pids.append(generator.choice(sorted(pids - {spared_pid})))
                os.kill(killed_pids[-1], getattr(signal, "SIGKILL", signal.SIGTERM))

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed_pids
    finally:
        stopped.set()
        thread.join()


def ready_worker_pids(client: Client) -> set[int]:
    """Return the process ids of the workers that the scheduler knows.

    A nanny gives up a worker that is killed while it starts.
    """
    cluster: Any = client.cluster
    addresses = set(cluster.scheduler.workers)
    nannies = cluster.workers.values()
    return {nanny.pid for nanny in nannies if nanny.worker_address in addresses}


def resources_of(pid: int) -> tuple[float, ...]:
    """Return a process's number of threads, of connections, and its memory in MB."""
    process = psutil.Process(pid)
    return process.num_threads(), len(process.net_connections()), process.memory_info().rss / 1e6


if __name__ == "__main__":
    main()
