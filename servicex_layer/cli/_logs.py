"""The command ``logs``."""

from __future__ import annotations

import asyncio

import click

from servicex_layer._config import find_backend
from servicex_layer.backend import get_log
from servicex_layer.cli._errors import errors_without_traceback
from servicex_layer.cli._options import backend_option, request_argument

__all__ = ["logs"]


@click.command()
@request_argument
@backend_option
def logs(*, request_id: str, backend: str | None) -> None:
    """Print the URL of the logs of REQUEST.

    If the backend itself serves them as text, as the embedded ServiceX does, prints this as well.
    """
    with errors_without_traceback():
        chosen = find_backend(backend)
        status, text = asyncio.run(get_log(chosen, request_id))
        if status.log_url is None:
            raise click.ClickException(
                f"The ServiceX backend {chosen} names no logs of request {request_id}. Ask its "
                "operators for them."
            )
        click.echo(status.log_url)
        if text:
            click.echo(text, nl=False)
