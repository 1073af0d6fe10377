"""The command ``demo``."""

from __future__ import annotations

import os
from pathlib import Path

import click

from servicex_layer.cli._errors import errors_without_traceback
from servicex_layer.demo import run_on_files, run_on_muons

__all__ = ["demo"]


@click.command()
@click.option(
    "--input",
    "first_input",
    metavar="FILE ...",
    help="Use these ROOT files (paths or URLs) instead; needs --tree and --column.",
)
@click.argument("more_inputs", nargs=-1, metavar="")
@click.option("--tree", metavar="NAME", help="Tree in the input files.")
@click.option("--column", metavar="NAME", help="Column to fill the histogram with.")
@click.option(
    "--derive",
    is_flag=True,
    help="Derive the query from the analysis; print it, and the bytes that it saves.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    default="servicex-layer-demo.png",
    show_default=True,
    help="PNG file to write.",
)
def demo(
    *,
    first_input: str | None,
    more_inputs: tuple[str, ...],
    tree: str | None,
    column: str | None,
    derive: bool,
    output: Path,
) -> None:
    """Fill a histogram while an embedded ServiceX is still transforming.

    Generates ROOT files of Z bosons that decay to two muons, submits them, and computes the mass
    of the muon pairs on a local Dask cluster, file by file as ServiceX finishes them. Compares the
    histogram with plain Uproot and draws it beside a timeline.
    """
    inputs = more_inputs if first_input is None else (first_input, *more_inputs)
    if inputs and (tree is None or column is None):
        raise click.UsageError("--input needs --tree and --column.")
    if not inputs and not (tree is None and column is None):
        raise click.UsageError("--tree and --column need --input.")
    directory = output.absolute().parent
    if not os.access(directory, os.W_OK | os.X_OK):
        raise click.UsageError(f"--output: the directory {directory} is not writable.")
    with errors_without_traceback():
        if tree is None or column is None:
            run_on_muons(output, derive=derive)
        else:
            run_on_files(output, inputs, tree, column, derive=derive)
