"""The main job, start to end: an embedded ServiceX, a Dask cluster, and an array over both."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing import resource_tracker
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import dask
import hist
import numpy as np
from distributed import Client, LocalCluster, as_completed

from servicex_layer._config import find_backend
from servicex_layer.backend import RestClient
from servicex_layer.demo._analysis import Analysis, dimuon_mass
from servicex_layer.demo._events import TREE, write_file
from servicex_layer.demo._inputs import analysis_of
from servicex_layer.demo._picture import draw
from servicex_layer.demo._progress import Progress
from servicex_layer.demo._timeline import Timeline, follow
from servicex_layer.feed import loop_thread, register
from servicex_layer.graph import from_servicex
from servicex_layer.local import LocalServiceX

__all__ = ["run_on_files", "run_on_muons"]

_PROCESSES = 2
# Seconds that ServiceX takes for a file, at least: so that the files arrive over a while.
_DELAY = 0.8


def run_on_muons(
    output: Path, *, files: int = 24, events: int = 50_000, delay: float = _DELAY
) -> None:
    """Run the demo on files of its own.

    Parameters
    ----------
    output : pathlib.Path
        Where the picture goes.
    files : int
        Number of files.
    events : int
        Number of events in each.
    delay : float
        Least seconds that ServiceX takes for a file.

    Raises
    ------
    click.ClickException
        Where the histogram is not that of plain Uproot.
    """
    with TemporaryDirectory(prefix="servicex-layer-demo-") as directory:
        paths = [Path(directory) / f"zmumu-{number:02}.root" for number in range(files)]
        for seed, path in enumerate(paths):
            write_file(path, events, seed)
        click.echo(f"Made {files} ROOT files of {events:,} events with a Z that decays to muons.")
        _run([str(path) for path in paths], dimuon_mass(TREE), output, delay)


def run_on_files(output: Path, files: Sequence[str], tree: str, column: str) -> None:
    """Run the demo on a column of the user's own files.

    Parameters
    ----------
    output : pathlib.Path
        Where the picture goes.
    files : sequence of str
        Paths or URLs.
    tree, column : str
        What to make a histogram of.

    Raises
    ------
    InvalidArgumentError
        Where the files have no such column, or it holds no numbers.
    click.ClickException
        Where the histogram is not that of plain Uproot.
    """
    # Not more than half a minute in all, however many files there are.
    delay = min(_DELAY, 20.0 * _PROCESSES / len(files))
    _run(files, analysis_of(files, tree, column), output, delay)


def _run(files: Sequence[str], analysis: Analysis, output: Path, delay: float) -> None:
    with _servicex_and_dask(delay) as (service, client):
        submitted = datetime.now(UTC)
        request_id = service.submit(files, tree=analysis.tree, columns=analysis.columns)
        click.echo(f"Submitted to the ServiceX at {service.url} as request {request_id}.")
        filled, timeline = _compute(client, request_id, analysis, submitted)
    click.echo(f"Array made:          {timeline.made:6.2f} s after the submission")
    click.echo(f"Last file finished:  {timeline.files[-1]:6.2f} s")
    click.echo(f"Result ready:        {timeline.ready:6.2f} s")
    draw(output, analysis, filled, timeline)
    click.echo(f"Picture:             {output}")
    _check(filled, analysis.fill_plainly(files))


@contextmanager
def _servicex_and_dask(delay: float) -> Iterator[tuple[LocalServiceX, Client]]:
    with (
        LocalServiceX(parallelism=_PROCESSES, delay=delay) as service,
        TemporaryDirectory(prefix="servicex-layer-demo-") as directory,
        # The server is on this machine: it can be asked more often than one that many share.
        dask.config.set(
            {
                "servicex-layer.config-path": str(service.servicex_yaml),
                "servicex-layer.poll-interval": "200ms",
            }
        ),
        _start_cluster(directory) as cluster,
        Client(cluster) as client,  # type: ignore[no-untyped-call]
    ):
        # The workers import what they need now, not when the first file is finished.
        register(client)
        yield service, client


def _start_cluster(directory: str) -> LocalCluster:
    # Ctrl-C is for this process, which then ends the workers: they inherit that it is blocked.
    # Were it started with them, multiprocessing's resource tracker would unblock it.
    resource_tracker.ensure_running()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=_PROCESSES,
            threads_per_worker=1,
            processes=True,
            # a free port, without a remark where another cluster has the usual one
            dashboard_address="127.0.0.1:0",
            local_directory=directory,
            # a task's error is raised here too
            silence_logs=logging.CRITICAL,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _compute(
    client: Client, request_id: str, analysis: Analysis, submitted: datetime
) -> tuple[hist.Hist[Any], Timeline]:
    """Fill the histogram over a request that has just been submitted."""

    def elapsed(time: datetime | None = None) -> float:
        return ((time or datetime.now(UTC)) - submitted).total_seconds()

    events = from_servicex(request_id, tree=analysis.tree, form=analysis.form, on_failed="raise")
    made = elapsed()
    lazy = analysis.fill_lazily(events)
    filled = analysis.empty()
    partitions = []
    with Progress(events.npartitions) as progress:
        following = loop_thread().submit(
            follow(RestClient(find_backend(), _DELAY), request_id, progress.show_files)
        )
        try:
            futures = client.compute(lazy.to_delayed())  # type: ignore[no-untyped-call]
            for _, partition in as_completed(futures, with_results=True):  # type: ignore[no-untyped-call]
                partitions.append(elapsed())
                filled += partition
                progress.add_partition()
            ready = elapsed()
            files = [elapsed(time) for time in following.result()]
        finally:
            following.cancel()
    return filled, Timeline(made, files, partitions, ready)


def _check(filled: hist.Hist[Any], plain: hist.Hist[Any]) -> None:
    ours, theirs = filled.view(flow=True), plain.view(flow=True)
    if not np.array_equal(ours, theirs):
        raise click.ClickException(
            f"The histogram differs from that of plain Uproot on the same files: "
            f"{ours.sum():,.0f} entries against {theirs.sum():,.0f}, "
            f"{np.count_nonzero(ours != theirs)} bins of {ours.size} differ."
        )
    click.echo(f"Checked: plain Uproot gives the same histogram, {theirs.sum():,.0f} entries.")
