"""The program ``servicex-layer``."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import click

from servicex_layer.cli._requests import files, status
from servicex_layer.demo import run_on_files, run_on_muons
from servicex_layer.errors import ServiceXLayerError


@click.group()
@click.version_option(package_name="servicex_layer")
def main() -> None:
    """Lazy arrays over what ServiceX delivers."""


main.add_command(files)
main.add_command(status)


@main.command()
@click.option("--port", type=int, default=0, show_default="a free one", help="Port to listen on.")
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    show_default="a temporary one",
    help="Where servicex.yaml and the results go while it runs.",
)
@click.option(
    "--parallelism", type=int, default=2, show_default=True, help="Files transformed at a time."
)
@click.option(
    "--delay", type=float, default=0.0, show_default=True, help="Least seconds for each file."
)
@click.option(
    "--lookup-time", type=float, default=0.0, show_default=True, help="Seconds of each lookup."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Decides what is random.")
@click.option("--authentication", is_flag=True, help="Ask for a token.")
def serve(
    *,
    port: int,
    directory: Path | None,
    parallelism: int,
    delay: float,
    lookup_time: float,
    seed: int,
    authentication: bool,
) -> None:
    """Run an embedded ServiceX until Ctrl-C or SIGTERM.

    Prints its URL and the path of the servicex.yaml for its users.
    """
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    try:
        # the program works without the extra `local`, this command does not
        from servicex_layer.local import LocalServiceX

        with LocalServiceX(
            directory,
            port=port,
            parallelism=parallelism,
            delay=delay,
            lookup_time=lookup_time,
            seed=seed,
            authentication=authentication,
        ) as service:
            click.echo(service.url)
            click.echo(service.servicex_yaml)
            stopped.wait()
    except ServiceXLayerError as error:
        raise click.ClickException(str(error)) from error


@main.command()
@click.option(
    "--input",
    "first",
    metavar="FILE ...",
    help="Run on these ROOT files instead (paths or URLs); needs --tree and --column.",
)
@click.argument("others", nargs=-1, metavar="")
@click.option("--tree", metavar="NAME", help="The tree in them.")
@click.option("--column", metavar="NAME", help="The column to make a histogram of.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    default="servicex-layer-demo.png",
    show_default=True,
    help="Where the picture goes.",
)
def demo(
    *,
    first: str | None,
    others: tuple[str, ...],
    tree: str | None,
    column: str | None,
    output: Path,
) -> None:
    """Fill a histogram while an embedded ServiceX is still transforming.

    Makes ROOT files of Z bosons that decay to two muons, has them transformed, and computes the
    mass of the muon pairs on a Dask cluster of this machine, file by file as they are finished.
    Checks the histogram against plain Uproot and draws it beside a timeline.
    """
    files = others if first is None else (first, *others)
    if files and (tree is None or column is None):
        raise click.UsageError("--input needs --tree and --column.")
    if not files and not (tree is None and column is None):
        raise click.UsageError("--tree and --column need --input.")
    directory = output.absolute().parent
    if not os.access(directory, os.W_OK | os.X_OK):
        raise click.UsageError(f"--output: nothing can be written to the directory {directory}.")
    try:
        if tree is None or column is None:
            run_on_muons(output)
        else:
            run_on_files(output, files, tree, column)
    except ServiceXLayerError as error:
        raise click.ClickException(str(error)) from error


@main.command()
@click.argument("file")
@click.option("--tree", metavar="NAME", help="The tree in it.", show_default="its only one")
def form(*, file: str, tree: str | None) -> None:
    """Print the form of a ROOT or Parquet FILE, a path or a URL.

    It is a text for the argument `form` of from_servicex, where results look like this file.
    """
    try:
        # awkward takes its time to import, which the other commands need not wait for
        from servicex_layer.forms import datashape

        click.echo(datashape(file, tree))
    except ServiceXLayerError as error:
        raise click.ClickException(str(error)) from error
