"""The command ``cancel``."""

from __future__ import annotations

import asyncio
import json

import click

from servicex_layer._config import find_backend
from servicex_layer.backend import cancel_request, rest_client
from servicex_layer.cli._errors import errors_without_traceback
from servicex_layer.cli._options import backend_option, json_option, request_argument
from servicex_layer.cli._status_as_json import status_as_json

__all__ = ["cancel"]


@click.command()
@request_argument
@backend_option
@json_option
def cancel(*, request_id: str, backend: str | None, as_json: bool) -> None:
    """Cancel REQUEST if it has not ended, and show its status.

    What computes with its files ends with an error.
    """
    with errors_without_traceback():
        state = asyncio.run(cancel_request(rest_client(find_backend(backend)), request_id))
        click.echo(json.dumps(status_as_json(state), indent=2) if as_json else repr(state))
