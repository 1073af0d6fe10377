"""A run of the demo: an embedded ServiceX, a Dask cluster, and an array over both."""

from __future__ import annotations

import logging
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import resource_tracker
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import awkward as ak
import click
import dask
import hist
import numpy as np
from dask.base import compute
from distributed import Client, LocalCluster

from servicex_layer.demo._analysis import Analysis, dimuon_mass
from servicex_layer.demo._events import TREE, write_file
from servicex_layer.demo._inputs import analysis_of
from servicex_layer.demo._picture import draw
from servicex_layer.feed import register
from servicex_layer.graph import from_servicex
from servicex_layer.local import LocalServiceX
from servicex_layer.monitor import progress
from servicex_layer.query import derive_query
from servicex_layer.report import summary

__all__ = ["run", "run_on_files", "run_on_muons"]

_PROCESSES = 2
# Minimum seconds per file, so that the files arrive one after the other.
_DELAY = 0.8
# What a worker runs when it has started; on Windows it can get a Ctrl-C before.
_IGNORE_CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"


def run_on_muons(
    output: Path,
    *,
    files: int = 24,
    events: int = 50_000,
    delay: float = _DELAY,
    derive: bool = False,
) -> None:
    """Run the demo on generated files.

    Parameters
    ----------
    output : pathlib.Path
        The PNG file to write.
    files : int
        Number of files.
    events : int
        Number of events in each file.
    delay : float
        Minimum seconds that ServiceX takes for a file.
    derive : bool
        Whether to derive the query from the analysis, and to print it.

    Raises
    ------
    click.ClickException
        If the histogram differs from plain Uproot's.
    """
    with TemporaryDirectory(prefix="servicex-layer-demo-") as directory:
        paths = [Path(directory) / f"zmumu-{number:02}.root" for number in range(files)]
        for seed, path in enumerate(paths):
            write_file(path, events, seed)
        click.echo(f"Generated {files} ROOT files of {events:,} events each, Z to two muons.")
        run([str(path) for path in paths], dimuon_mass(TREE), output, delay, derive=derive)


def run_on_files(
    output: Path, files: Sequence[str], tree: str, column: str, *, derive: bool = False
) -> None:
    """Run the demo on a column of the user's files.

    Parameters
    ----------
    output : pathlib.Path
        The PNG file to write.
    files : sequence of str
        Paths or URLs.
    tree, column : str
        The column to fill, and its tree.
    derive : bool
        Whether to derive the query from the analysis, and to print it.

    Raises
    ------
    InvalidArgumentError
        If a file cannot be read, has no such column, or the column holds no numbers.
    click.ClickException
        If the histogram differs from plain Uproot's.
    """
    # At most about 20 s in all, for any number of files.
    delay = min(_DELAY, 20.0 * _PROCESSES / len(files))
    run(files, analysis_of(files, tree, column), output, delay, derive=derive)


def run(
    files: Sequence[str], analysis: Analysis, output: Path, delay: float, *, derive: bool = False
) -> None:
    """Run the demo on any files and analysis.

    Parameters
    ----------
    files : sequence of str
        Paths or URLs.
    analysis : Analysis
        The histogram to fill.
    output : pathlib.Path
        The PNG file to write.
    delay : float
        Minimum seconds that ServiceX takes for a file.
    derive : bool
        Whether to derive the query from the analysis, and to print it.

    Raises
    ------
    FailedFilesError
        If ServiceX cannot transform a file.
    click.ClickException
        If the histogram differs from plain Uproot's.
    """
    with _servicex_and_dask(delay) as service:
        submitted = time.time()
        request_id = _submit(service, files, analysis, derive)
        click.echo(f"Submitted request {request_id} to the ServiceX at {service.url}.")
        fill = analysis.fill_selected if derive else analysis.fill_lazily
        histogram, report = _compute(request_id, analysis, fill)
        ready = time.time()
    last_file = float(ak.max(report.finished_at))
    click.echo(summary(report))
    click.echo(f"Last file finished:  {last_file - submitted:6.2f} s after the submission")
    if derive:
        _print_saved_bytes(files, report)
    click.echo(f"Result ready:        {ready - submitted:6.2f} s")
    draw(output, analysis, histogram, report, ready - last_file)
    click.echo(f"Picture:             {output}")
    _compare(histogram, analysis.fill_plainly(files))


@contextmanager
def _servicex_and_dask(delay: float) -> Iterator[LocalServiceX]:
    with (
        LocalServiceX(parallelism=_PROCESSES, delay=delay) as service,
        TemporaryDirectory(prefix="servicex-layer-demo-") as directory,
        # This server has one user: it can be polled more often than a shared one.
        dask.config.set(
            {
                "servicex-layer.config-path": str(service.servicex_yaml),
                "servicex-layer.poll-interval": "200ms",
            }
        ),
        _start_cluster(directory) as cluster,
        Client(cluster) as client,  # type: ignore[no-untyped-call]
    ):
        # The workers import this package now, not when the first file is finished.
        register(client)
        yield service


def _start_cluster(directory: str) -> LocalCluster:
    # Only this process handles Ctrl-C, and then ends the workers.
    with _blocked_ctrl_c():
        return LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=_PROCESSES,
            threads_per_worker=1,
            processes=True,
            # a free port: the default one warns if another cluster uses it
            dashboard_address="127.0.0.1:0",
            local_directory=directory,
            # the error of a task is raised in this process
            silence_logs=logging.CRITICAL,
            preload=_IGNORE_CTRL_C,
        )


@contextmanager
def _blocked_ctrl_c() -> Iterator[None]:
    """Block Ctrl-C in processes that start in this context; Windows can't."""
    # mypy knows the platform only.
    if sys.platform != "win32" and hasattr(signal, "pthread_sigmask"):
        # The resource tracker of multiprocessing unblocks it when it starts, so start it before.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    else:
        yield


def _submit(service: LocalServiceX, files: Sequence[str], analysis: Analysis, derive: bool) -> str:
    if not derive:
        return service.submit(files, tree=analysis.tree, columns=analysis.columns)
    query = derive_query(analysis.fill_selected, files[0], analysis.tree)
    click.echo(query)
    return service.submit(files, selection=[query.selection()])


def _print_saved_bytes(files: Sequence[str], report: ak.Array) -> None:
    paths = [Path(file) for file in files if Path(file).is_file()]
    if len(paths) == len(files):
        before = sum(path.stat().st_size for path in paths)
        after = int(ak.sum(report.size))
        saved = 100 * (1 - after / before)
        click.echo(
            f"Results:             {after / 1e6:.2f} MB of {before / 1e6:.2f} MB of input, "
            f"{saved:.0f} % saved"
        )


def _compute(
    request_id: str, analysis: Analysis, fill: Callable[[Any], Any]
) -> tuple[hist.Hist[Any], ak.Array]:
    """Fill the histogram while the request runs; return it and the report."""
    events, report = from_servicex(
        request_id, tree=analysis.tree, form=analysis.form, on_failed="raise", report=True
    )
    with progress({"demo": events}):
        histogram, records = compute(  # type: ignore[no-untyped-call]
            fill(events), report
        )
    return histogram, records


def _compare(histogram: hist.Hist[Any], plain: hist.Hist[Any]) -> None:
    ours, theirs = histogram.view(flow=True), plain.view(flow=True)
    if not np.array_equal(ours, theirs):
        raise click.ClickException(
            f"The histogram differs from plain Uproot's on the same files: {ours.sum():,.0f} "
            f"entries instead of {theirs.sum():,.0f}, "
            f"{np.count_nonzero(ours != theirs)} of {ours.size} bins differ."
        )
    click.echo(f"Checked: plain Uproot gives the same histogram, {theirs.sum():,.0f} entries.")
