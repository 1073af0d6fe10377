"""The group of commands ``servicex-layer``."""

from __future__ import annotations

import io
import sys

import click

from servicex_layer.cli._cancel import cancel
from servicex_layer.cli._demo import demo
from servicex_layer.cli._form import form
from servicex_layer.cli._list import list_command
from servicex_layer.cli._logs import logs
from servicex_layer.cli._requests import files, status
from servicex_layer.cli._serve import serve

__all__ = ["main"]


@click.group()
@click.version_option(package_name="servicex_layer")
def main() -> None:
    """Lazy dask-awkward arrays over ServiceX requests."""
    # A name in an output that the encoding of a pipe lacks, such as cp1252, is no error.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


for _command in (cancel, demo, files, form, list_command, logs, serve, status):
    main.add_command(_command)
