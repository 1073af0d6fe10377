"""Many files that finish over a while, beside the same files finished beforehand."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import click
import psutil  # type: ignore[import-untyped]
from _arrays import layers_array  # type: ignore[import-not-found]
from _cluster import cluster_of, waiting_tasks  # type: ignore[import-not-found]
from _command_line import parse_numbers  # type: ignore[import-not-found]
from _service import ServiceProcess, service_process  # type: ignore[import-not-found]
from _table import print_table, verdict  # type: ignore[import-not-found]
from _tiny_files import FORM, check_events, tiny_files  # type: ignore[import-not-found]
from dask_awkward.lib.core import Array
from distributed import Client

import servicex_layer as sxl

_SECONDS = 30.0
_SAMPLING_INTERVAL = 0.25
_RATIO_BOUND = 1.5
_MEMORY_BOUND = 400e6


class PeakMemory:
    """The largest resident memory of any worker so far, in bytes."""

    def __init__(self, client: Client) -> None:
        self.value = 0
        self._workers = [psutil.Process(pid) for pid in client.run(os.getpid).values()]
        self._stopped = threading.Event()

    @contextmanager
    def sampled(self) -> Iterator[PeakMemory]:
        """Sample within this context."""
        thread = threading.Thread(target=self._sample)
        thread.start()
        try:
            yield self
        finally:
            self._stopped.set()
            thread.join()

    def _sample(self) -> None:
        while True:
            self.value = max(self.value, *(worker.memory_info().rss for worker in self._workers))
            if self._stopped.wait(_SAMPLING_INTERVAL):
                return


@dataclass(frozen=True)
class Phase:
    """Seconds of a computation or of a part of it, and the peak memory until its end in bytes."""

    seconds: float
    memory: float


def measure_finished(events: Array, files: int) -> Phase:
    """Compute over a request that has finished."""
    with cluster_of(2) as client, PeakMemory(client).sampled() as memory:
        sxl.register(client)
        start = time.perf_counter()
        result = events.event.compute()
        seconds = time.perf_counter() - start
    check_events(result, files)
    return Phase(seconds, memory.value)


def measure_running(service: ServiceProcess, request_id: str, files: int) -> tuple[Phase, Phase]:
    """Compute over a request with no finished file, and let files finish once all tasks wait.

    Returns
    -------
    waiting : Phase
        Until all tasks wait.
    running : Phase
        From there to the result.
    """
    order = random.Random(1).sample(range(files), files)
    with (
        # The first to enter is the last to leave: if something fails, only the end of the cluster
        # ends the computation for which the pool waits.
        ThreadPoolExecutor(1) as pool,
        cluster_of(2) as client,
        PeakMemory(client).sampled() as memory,
    ):
        submitted = time.time()
        events = sxl.from_servicex(request_id, form=FORM)
        computation = pool.submit(events.event.compute)
        while waiting_tasks(client) < files and not computation.done():
            time.sleep(0.1)
        memory_waiting = memory.value
        start = service.release_evenly(request_id, order, _SECONDS)
        result = computation.result()
        end = time.time()
    check_events(result, files)
    return Phase(start - submitted, memory_waiting), Phase(end - start, memory.value)


def main() -> None:
    """Measure each on a cluster of its own."""
    files = parse_numbers(__doc__, files=10_000).files
    click.echo(f"{files:,} files are written, and transformed twice; 10,000 take a minute or two.")
    with tiny_files(files) as paths, service_process(parallelism=2) as service:
        finished_id, running_id = service.submit(paths), service.submit(paths, manual=True)
        service.wait_until_transformed(running_id, files)
        same_graph = measure_finished(layers_array(finished_id, files, FORM), files)
        waiting, running = measure_running(service, running_id, files)
        fused = measure_finished(sxl.from_servicex(finished_id, form=FORM), files)
    phases = {
        "finished beforehand, two layers": same_graph,
        "running, until all tasks wait": waiting,
        "running, from there on": running,
        "finished beforehand, from_servicex": fused,
    }
    print_table(
        f"{files:,} files, 2 workers of 1 thread; all tasks wait, then the files finish over "
        f"{_SECONDS:.0f} s",
        ("", "seconds", "largest worker, MB"),
        [
            (name, f"{phase.seconds:.1f}", f"{phase.memory / 1e6:.0f}")
            for name, phase in phases.items()
        ],
    )
    checks = [
        ("ratio to the same graph, finished", running.seconds / same_graph.seconds, _RATIO_BOUND),
        ("ratio to from_servicex, finished", running.seconds / fused.seconds, _RATIO_BOUND),
        ("ratio to the transform itself", running.seconds / _SECONDS, _RATIO_BOUND),
        ("largest worker, MB", running.memory / 1e6, _MEMORY_BOUND / 1e6),
    ]
    print_table(
        "Every event was read exactly once",
        ("running, from the first file on", "measured", "at most", "met"),
        [
            (name, f"{value:.2f}", f"{bound:g}", verdict(value, bound))
            for name, value, bound in checks
        ],
    )


if __name__ == "__main__":
    main()
