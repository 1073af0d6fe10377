"""How the commands report errors of the package."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from servicex_layer.errors import ServiceXLayerError

__all__ = ["errors_without_traceback"]


@contextmanager
def errors_without_traceback() -> Iterator[None]:
    """Turn errors of the package into a message and exit code 1."""
    try:
        yield
    except ServiceXLayerError as error:
        raise click.ClickException(str(error)) from error
