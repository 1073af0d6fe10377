"""The commands ``status`` and ``files``, which show a request."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import click

from servicex_layer._config import find_backend, seconds
from servicex_layer._model import Backend, ResultRow, TransformStatus
from servicex_layer.backend import (
    RequestStatus,
    get_status,
    list_files,
    rest_client,
    text_table,
)
from servicex_layer.cli._errors import errors_without_traceback
from servicex_layer.cli._options import backend_option, json_option, request_argument
from servicex_layer.cli._status_as_json import status_as_json

__all__ = ["files", "status"]


class Snapshot(NamedTuple):
    """The state of a request at one time, as a command prints it."""

    is_terminal: bool
    json: Any
    text: str


def _watch_option(command: Callable[..., None]) -> Callable[..., None]:
    text = "Print every change until the request ends."
    return click.option("--watch", is_flag=True, help=text)(command)


@click.command()
@request_argument
@backend_option
@json_option
@_watch_option
def status(*, request_id: str, backend: str | None, as_json: bool, watch: bool) -> None:
    """Show the status of REQUEST.

    With --json, prints an object; with --json --watch, one object per change and line.
    """
    previous: RequestStatus | None = None

    def snapshot(backend: Backend) -> Snapshot:
        nonlocal previous
        previous = asyncio.run(get_status(rest_client(backend), request_id, previous))
        return Snapshot(previous.is_terminal, status_as_json(previous), repr(previous))

    _print_snapshots(backend, snapshot, as_json=as_json, watch=watch)


@click.command()
@request_argument
@backend_option
@json_option
@_watch_option
def files(*, request_id: str, backend: str | None, as_json: bool, watch: bool) -> None:
    """List the finished and failed files of REQUEST, by time.

    With --json, prints a list; with --json --watch, one list per change and line.
    """

    def snapshot(backend: Backend) -> Snapshot:
        state, rows = asyncio.run(list_files(backend, request_id))
        # The table names the failed inputs already.
        explanation = RequestStatus.of(backend, state).explanation()
        return Snapshot(
            state.is_terminal,
            [_file_as_json(row, state) for row in rows],
            "\n".join([_files_as_text(rows), str(state), explanation]).rstrip(),
        )

    _print_snapshots(backend, snapshot, as_json=as_json, watch=watch)


def _print_snapshots(
    backend: str | None, snapshot: Callable[[Backend], Snapshot], *, as_json: bool, watch: bool
) -> None:
    with errors_without_traceback():
        lines_on_screen = 0
        for state in _changes(find_backend(backend), snapshot, watch=watch):
            if as_json:
                click.echo(json.dumps(state.json, indent=None if watch else 2))
                continue
            if lines_on_screen and sys.stdout.isatty():
                # move the cursor up and clear: the new snapshot replaces the old one
                click.echo(f"\x1b[{lines_on_screen}A\x1b[J", nl=False)
            lines_on_screen = len(state.text.splitlines())
            click.echo(state.text)


def _changes(
    backend: Backend, snapshot: Callable[[Backend], Snapshot], *, watch: bool
) -> Iterator[Snapshot]:
    previous = None
    while True:
        state = snapshot(backend)
        if state != previous:
            yield state
        if state.is_terminal or not watch:
            return
        previous = state
        time.sleep(seconds("poll-interval") or 0.0)


def _file_as_json(row: ResultRow, state: TransformStatus) -> dict[str, Any]:
    file = row.file
    return {
        "input": file.input,
        "success": row.success,
        "time": file.created_at.isoformat(),
        "events": file.events,
        "bytes": file.size,
        "name": file.name if row.success else None,
        "failure_info": None if row.success else state.failure_info or None,
        "log_url": None if row.success else state.log_url,
    }


def _files_as_text(rows: Sequence[ResultRow]) -> str:
    table = [("time (UTC)", "", "events", "bytes", "input")]
    for row in rows:
        file = row.file
        events = "?" if file.events is None else f"{file.events:,}"
        sizes = (events, f"{file.size:,}") if row.success else ("", "")
        outcome = "finished" if row.success else "failed"
        table.append((f"{file.created_at:%Y-%m-%d %H:%M:%S}", outcome, *sizes, file.input))
    return text_table(table, numbers={2, 3})
