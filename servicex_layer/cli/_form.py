"""The command ``form``."""

from __future__ import annotations

import click

from servicex_layer.cli._errors import errors_without_traceback

__all__ = ["form"]


@click.command()
@click.argument("file")
@click.option("--tree", metavar="NAME", help="Tree in the file.", show_default="the only one")
def form(*, file: str, tree: str | None) -> None:
    """Print the form of a ROOT or Parquet FILE, a path or a URL.

    Pass the output to from_servicex as `form` if the results have the columns of this file.
    """
    with errors_without_traceback():
        # imports awkward, which the other commands don't need
        from servicex_layer.forms import datashape

        click.echo(datashape(file, tree))
