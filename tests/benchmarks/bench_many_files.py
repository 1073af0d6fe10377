"""Many files over a while against the same files finished beforehand, on two workers."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import click
import psutil  # type: ignore[import-untyped]
from _common import (  # type: ignore[import-not-found]
    FORM,
    ServiceProcess,
    by_hand,
    check_events,
    cluster_of,
    number_of_files,
    service_process,
    show,
    tiny_files,
    verdict,
    waiting_tasks,
)
from dask_awkward.lib.core import Array
from distributed import Client

import servicex_layer as sxl

_SECONDS = 30.0
_MOST_MEMORY = 400e6
_MOST_RATIO = 1.5


class Memory:
    """The largest resident memory of any worker, in bytes."""

    largest = 0

    def __init__(self, client: Client) -> None:
        self._workers = [psutil.Process(pid) for pid in client.run(os.getpid).values()]
        self._over = threading.Event()

    @contextmanager
    def sampled(self) -> Iterator[Memory]:
        """Look every quarter of a second, within this context."""
        thread = threading.Thread(target=self._sample)
        thread.start()
        try:
            yield self
        finally:
            self._over.set()
            thread.join()

    def _sample(self) -> None:
        while True:
            sizes = [worker.memory_info().rss for worker in self._workers]
            self.largest = max(self.largest, *sizes)
            if self._over.wait(0.25):
                return


def finished(events: Array, files: int) -> tuple[float, float]:
    """Compute over a request that is over: seconds, and bytes of the largest worker."""
    with cluster_of(2) as client, Memory(client).sampled() as memory:
        sxl.register(client)
        start = time.perf_counter()
        found = events.event.compute()
        seconds = time.perf_counter() - start
    check_events(found, files)
    return seconds, memory.largest


def pending(
    service: ServiceProcess, request_id: str, files: int
) -> tuple[float, float, float, float]:
    """Compute over a request of which no file is finished, until all tasks wait; then finish them.

    Gives seconds until all wait, from there to the result, bytes of the largest worker before
    the first file is finished, and in all.
    """
    order = random.Random(1).sample(range(files), files)
    with (
        # Ends last: where something fails, the end of the cluster is what ends the computation.
        ThreadPoolExecutor(1) as pool,
        cluster_of(2) as client,
        Memory(client).sampled() as memory,
    ):
        submitted = time.time()
        events = sxl.from_servicex(request_id, form=FORM)
        result = pool.submit(events.event.compute)
        while waiting_tasks(client) < files and not result.done():
            time.sleep(0.1)
        waiting = memory.largest
        start = service.release_over(request_id, order, _SECONDS)
        found = result.result()
        end = time.time()
    check_events(found, files)
    return start - submitted, end - start, waiting, memory.largest


def main() -> None:
    """Measure, each on a cluster of its own."""
    files = number_of_files(__doc__, 10_000)
    click.echo(
        f"{files:,} files: writing and transforming them, twice, takes a minute or two at 10,000."
    )
    with tiny_files(files) as paths, service_process(parallelism=2) as service:
        over, running = service.submit(paths), service.submit(paths, manual=True)
        service.wait_until_transformed(running, files)
        rows = []

        def note(name: str, seconds: float, memory: float) -> None:
            rows.append((name, f"{seconds:.1f}", f"{memory / 1e6:.0f}"))
            click.echo(f"  {name}: {seconds:.1f} s")

        same_graph, memory = finished(by_hand(over, files), files)
        note("finished beforehand, two layers", same_graph, memory)
        until_waiting, seconds, waiting, memory = pending(service, running, files)
        note("running, until all tasks wait", until_waiting, waiting)
        note("running, from there on", seconds, memory)
        fused, most = finished(sxl.from_servicex(over, form=FORM), files)
        note("finished beforehand, from_servicex", fused, most)
        show(
            f"{files:,} files, 2 workers of 1 thread; all pending, then finishing over "
            f"{_SECONDS:.0f} s",
            ("", "seconds to result", "largest worker, MB"),
            rows,
        )
        show(
            "Every event exactly once; and",
            ("running, from the first file on", "is", "at most", "kept"),
            [
                _kept("against the same graph, finished", seconds / same_graph, _MOST_RATIO),
                _kept("against from_servicex, finished", seconds / fused, _MOST_RATIO),
                _kept("against the transform itself", seconds / _SECONDS, _MOST_RATIO),
                _kept("largest worker, MB", memory / 1e6, _MOST_MEMORY / 1e6),
            ],
        )


def _kept(what: str, value: float, most: float) -> tuple[str, str, str, str]:
    return what, f"{value:.2f}", f"{most:g}", verdict(value, most)


if __name__ == "__main__":
    main()
