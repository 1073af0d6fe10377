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
from servicex_layer.backend import get_status, list_files
from servicex_layer.cli._errors import errors_without_traceback

__all__ = ["files", "status"]


class Snapshot(NamedTuple):
    """The state of a request at one time, as a command prints it."""

    is_terminal: bool
    json: Any
    text: str


def _request_options(command: Callable[..., None]) -> Callable[..., None]:
    for decorate in (
        click.option("--watch", is_flag=True, help="Print every change until the request ends."),
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
        click.option(
            "--backend",
            metavar="NAME",
            help="Backend in servicex.yaml.",
            show_default="the default backend",
        ),
        click.argument("request_id", metavar="REQUEST"),
    ):
        command = decorate(command)
    return command


@click.command()
@_request_options
def status(*, request_id: str, backend: str | None, as_json: bool, watch: bool) -> None:
    """Show the status of REQUEST.

    With --json, prints an object; with --json --watch, one object per change and line.
    """

    def snapshot(backend: Backend) -> Snapshot:
        state = asyncio.run(get_status(backend, request_id))
        return Snapshot(state.is_terminal, _status_as_json(state), _status_as_text(backend, state))

    _print_snapshots(backend, snapshot, as_json=as_json, watch=watch)


@click.command()
@_request_options
def files(*, request_id: str, backend: str | None, as_json: bool, watch: bool) -> None:
    """List the finished and failed files of REQUEST, by time.

    With --json, prints a list; with --json --watch, one list per change and line.
    """

    def snapshot(backend: Backend) -> Snapshot:
        state, rows = asyncio.run(list_files(backend, request_id))
        return Snapshot(
            state.is_terminal,
            [_file_as_json(row, state) for row in rows],
            "\n".join([_files_as_text(rows), str(state), *_failure_lines(state)]),
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


def _status_as_json(state: TransformStatus) -> dict[str, Any]:
    return {
        "request_id": state.request_id,
        "status": state.status,
        "files": state.files,
        "completed": state.completed,
        "failed": state.failed,
        "file_count_final": state.file_count_final,
        "is_terminal": state.is_terminal,
        "result_format": state.result_format,
        "failure_info": state.failure_info,
        "log_url": state.log_url,
    }


def _status_as_text(backend: Backend, state: TransformStatus) -> str:
    so_far = "" if state.file_count_final else " so far"
    lines = {
        "Request": state.request_id,
        "Backend": f"{backend.name}, {backend.url}",
        "Status": state.status,
        "Files": (
            f"{state.files} looked up{so_far}, {state.completed} finished, {state.failed} failed"
        ),
        "Format": state.result_format,
    }
    labelled = [_labelled(label, value) for label, value in lines.items()]
    return "\n".join([*labelled, *_failure_lines(state)])


def _failure_lines(state: TransformStatus) -> list[str]:
    # The text can have several lines: of an exception, for example.
    lines = {"Failure": " ".join(state.failure_info.split()), "Logs": state.log_url}
    return [_labelled(label, value) for label, value in lines.items() if value]


def _labelled(label: str, value: str) -> str:
    return f"{label:<8} {value}"


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
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join(
        f"{time:<{widths[0]}}  {outcome:<{widths[1]}}  {events:>{widths[2]}}  "
        f"{size:>{widths[3]}}  {path}"
        for time, outcome, events, size, path in table
    )
