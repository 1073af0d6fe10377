"""What the benchmarks share: files, a ServiceX of its own, a cluster, and how results are shown."""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import dask
import httpx
import numpy as np
import uproot
from dask.highlevelgraph import HighLevelGraph
from dask_awkward.lib.core import Array, new_array_object
from distributed import Client, LocalCluster

from servicex_layer import SXFileLayer, UprootLoadLayer
from servicex_layer._config import find_backend
from servicex_layer._model import FILE_LAYER
from servicex_layer.local import LocalServiceX

FORM = "{event: int64, x: var * float64}"
EVENTS = 2
"""Events in each file; their numbers tell them apart over all files."""

# Not fork: there are threads here.
_processes = multiprocessing.get_context("spawn")


# The command line and what it shows


def number_of_files(description: str | None, default: int) -> int:
    """Read the command line: the same in all benchmarks, as nox hands it to each."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--files", type=int, default=default, help="how many; %(default)s")
    files: int = parser.parse_args().files
    return files


def show(title: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table."""
    cells = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    click.echo(f"\n{title}\n")
    for row in cells:
        first, *others = (
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        click.echo("  " + "  ".join([first, *others]))


def verdict(value: float, most: float) -> str:
    """Say whether a value keeps to its bound; a benchmark fails on wrong results only."""
    return "yes" if value <= most else "NO"


def check_events(found: Any, files: int) -> None:
    """End the benchmark where not every event was read exactly once."""
    if not np.array_equal(np.sort(np.asarray(found)), np.arange(EVENTS * files)):
        raise SystemExit(
            f"WRONG RESULT: {len(found)} events, {len(np.unique(found))} different ones, "
            f"instead of {EVENTS * files}"
        )


# Files


@contextmanager
def tiny_files(count: int) -> Iterator[list[Path]]:
    """Write ROOT files of a tree `events` of a few events each."""
    with TemporaryDirectory(prefix="servicex-layer-bench-") as directory:
        paths = [Path(directory) / f"{index:06}.root" for index in range(count)]
        with ProcessPoolExecutor(2, mp_context=_processes) as pool:
            chunks = [range(start, min(start + 500, count)) for start in range(0, count, 500)]
            list(pool.map(_write, [paths[c.start : c.stop] for c in chunks], chunks))
        yield paths


def _write(paths: Sequence[Path], indices: range) -> None:
    for path, index in zip(paths, indices, strict=True):
        with uproot.recreate(path) as file:
            numbers = np.arange(EVENTS) + EVENTS * index
            x = np.linspace(0.0, 2.0, 3 * EVENTS).reshape(EVENTS, 3)
            file.mktree("events", {"event": numbers, "x": x})


# ServiceX


class ServiceProcess:
    """A `LocalServiceX` in a process of its own, so that it takes no time from a scheduler here."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function there with the service and the arguments, and give its result."""
        self._pipe.send((function, arguments))
        answer = self._pipe.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def submit(self, paths: Sequence[Path], **options: Any) -> str:
        """Submit files with a tree `events`; options are those of `LocalServiceX.submit`."""
        request_id: str = self.run(_submit, paths, options)
        return request_id

    def release(self, request_id: str, *indices: int) -> float:
        """Let files be finished; gives the time (Unix seconds) when they were."""
        visible: float = self.run(_release, request_id, indices)
        return visible

    def release_over(self, request_id: str, indices: Sequence[int], seconds: float) -> float:
        """Let files be finished one by one, evenly over a time; returns at once, with the start."""
        start: float = self.run(_release_over, request_id, indices, seconds)
        return start

    def wait_until_transformed(self, request_id: str, files: int) -> None:
        """Wait until the transformers are done with a manual request."""
        self.run(_wait_until_transformed, request_id, files)

    def take_traffic(self) -> tuple[dict[str, int], int]:
        """Give the calls and the rows sent since the last time, and count from zero again."""
        traffic: tuple[dict[str, int], int] = self.run(_take_traffic)
        return traffic


@contextmanager
def service_process(**options: Any) -> Iterator[ServiceProcess]:
    """Run a `LocalServiceX` with these options, and have this process use it."""
    pipe, other = _processes.Pipe()
    process = _processes.Process(target=_serve, args=(other, options))
    process.start()
    other.close()
    try:
        with dask.config.set({"servicex-layer.config-path": pipe.recv()}):
            yield ServiceProcess(pipe)
    finally:
        pipe.close()
        process.join()


def _serve(pipe: Connection, options: dict[str, Any]) -> None:
    with LocalServiceX(**options) as service:
        pipe.send(str(service.servicex_yaml))
        while True:
            try:
                function, arguments = pipe.recv()
            except EOFError:
                return
            answer: Any
            try:
                answer = function(service, *arguments)
            except Exception as error:  # noqa: BLE001  (is raised where the function was called)
                answer = error
            pipe.send(answer)


def _submit(service: LocalServiceX, paths: Sequence[Path], options: dict[str, Any]) -> str:
    return service.submit(paths, tree="events", **options)


def _release(service: LocalServiceX, request_id: str, indices: Sequence[int]) -> float:
    service.release(request_id, *indices)
    return time.time()


def _release_over(
    service: LocalServiceX, request_id: str, indices: Sequence[int], seconds: float
) -> float:
    start = time.time()

    def release() -> None:
        for place, index in enumerate(indices, 1):
            time.sleep(max(start + seconds * place / len(indices) - time.time(), 0.0))
            service.release(request_id, index)

    threading.Thread(target=release, daemon=True).start()
    return start


def _wait_until_transformed(service: LocalServiceX, request_id: str, files: int) -> None:
    directory = service.servicex_yaml.parent
    while sum(1 for _ in directory.glob(f"results-*/{request_id}-*")) < files:
        time.sleep(0.5)


def _take_traffic(service: LocalServiceX) -> tuple[dict[str, int], int]:
    traffic = service.traffic
    answer = dict(traffic.calls), traffic.rows
    traffic.reset()
    return answer


# What `servicex.deliver` knows: what an analysis of today begins with


def results_of(request_id: str, interval: float = 0.25) -> list[str]:
    """Wait until a transform is complete; gives the names of its results."""
    url = f"{find_backend().url}/servicex/transformation/{request_id}"
    with httpx.Client(trust_env=False) as http:
        while http.get(url).json()["status"] != "Complete":
            time.sleep(interval)
        rows = http.get(f"{url}/results").json()["results"]
    return [row["s3-object-name"] for row in rows]


def urls_of(request_id: str, interval: float = 0.25) -> list[str]:
    """Wait until a transform is complete; gives the URLs of its results."""
    names = results_of(request_id, interval)
    body = {"request_id": request_id, "file_list": names, "scheme": "http"}
    url = f"{find_backend().url}/servicex/transformation/file-urls"
    uris = httpx.post(url, json=body, trust_env=False).json()["uris"]
    return [uris[name][0] for name in names]


# Dask


@contextmanager
def cluster_of(workers: int) -> Iterator[Client]:
    """Run a cluster of worker processes of one thread each."""
    with (
        # Dask's profiler can stop a worker for good under Python 3.11: dask/distributed#8616.
        dask.config.set({"distributed.worker.profile.enabled": False}),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def by_hand(request_id: str, npartitions: int, *, fuse: bool = False) -> Array:
    """Make an array of the two layers, or of the one that waits by itself."""
    files = SXFileLayer(request_id, npartitions)
    load = UprootLoadLayer(files, form=FORM, tree="events", fuse=fuse)
    layers: dict[str, Any] = {load.name: load}
    dependencies: dict[str, set[str]] = {load.name: set()}
    if not fuse:
        layers[files.name] = files
        dependencies = {files.name: set(), load.name: {files.name}}
    graph = HighLevelGraph(layers, dependencies)
    return new_array_object(graph, load.name, meta=load.meta, npartitions=load.npartitions)


def waiting_tasks(client: Client) -> int:
    """Count the tasks that wait for a file, and keep no thread, on the workers of a cluster."""
    count: int = client.run_on_scheduler(_waiting_tasks)
    return count


def _waiting_tasks(dask_scheduler: Any) -> int:
    return sum(
        task.prefix.name == FILE_LAYER
        for worker in dask_scheduler.workers.values()
        for task in worker.long_running
    )
