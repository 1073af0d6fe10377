"""The commands that tell of a request: ``status`` and ``files``."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click

from servicex_layer._config import find_backend, seconds
from servicex_layer._model import Backend, ResultRow, TransformStatus
from servicex_layer.backend import get_status, list_files
from servicex_layer.errors import ServiceXLayerError

__all__ = ["files", "status"]

# What a command tells: whether the request is over, for programs, and for people.
Told = tuple[bool, Any, str]


def _options(command: Callable[..., None]) -> Callable[..., None]:
    for decorate in (
        click.option("--watch", is_flag=True, help="Tell again of every change, to the end."),
        click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs."),
        click.option(
            "--backend", metavar="NAME", help="In servicex.yaml.", show_default="its default"
        ),
        click.argument("request_id", metavar="REQUEST"),
    ):
        command = decorate(command)
    return command


@click.command()
@_options
def status(*, request_id: str, backend: str | None, as_json: bool, watch: bool) -> None:
    """Tell how far REQUEST is.

    With --json it prints an object; with --json --watch one for each change, a line each.
    """

    def tell(found: Backend) -> Told:
        state = asyncio.run(get_status(found, request_id))
        return state.is_terminal, _status_for_programs(state), _status_for_people(found, state)

    _run(backend, tell, as_json=as_json, watch=watch)


@click.command()
@_options
def files(*, request_id: str, backend: str | None, as_json: bool, watch: bool) -> None:
    """List the finished and failed files of REQUEST, by time.

    With --json it prints a list; with --json --watch one for each change, a line each.
    """

    def tell(found: Backend) -> Told:
        state, rows = asyncio.run(list_files(found, request_id))
        for_people = f"{_files_for_people(rows)}\n{state}"
        return state.is_terminal, [_file_for_programs(row) for row in rows], for_people

    _run(backend, tell, as_json=as_json, watch=watch)


def _run(
    backend: str | None, tell: Callable[[Backend], Told], *, as_json: bool, watch: bool
) -> None:
    try:
        found = find_backend(backend)
        shown: list[str] = []
        for for_programs, for_people in _changes(found, tell, watch=watch):
            if as_json:
                click.echo(json.dumps(for_programs, indent=None if watch else 2))
                continue
            if shown and sys.stdout.isatty():
                # over what was shown before
                click.echo(f"\x1b[{len(shown)}A\x1b[J", nl=False)
            shown = for_people.splitlines()
            click.echo(for_people)
    except ServiceXLayerError as error:
        raise click.ClickException(str(error)) from error


def _changes(
    found: Backend, tell: Callable[[Backend], Told], *, watch: bool
) -> Iterator[tuple[Any, str]]:
    before = None
    while True:
        over, for_programs, for_people = tell(found)
        if for_programs != before:
            yield for_programs, for_people
        if over or not watch:
            return
        before = for_programs
        time.sleep(seconds("poll-interval") or 0.0)


def _status_for_programs(state: TransformStatus) -> dict[str, Any]:
    return {
        "request_id": state.request_id,
        "status": state.status,
        "files": state.files,
        "completed": state.completed,
        "failed": state.failed,
        "counted": state.file_count_final,
        "over": state.is_terminal,
        "result_format": state.result_format,
        "failure_info": state.failure_info,
        "log_url": state.log_url,
    }


def _status_for_people(backend: Backend, state: TransformStatus) -> str:
    so_far = "" if state.file_count_final else " so far"
    told = {
        "Request": state.request_id,
        "Backend": f"{backend.name}, {backend.url}",
        "Status": state.status,
        "Files": (
            f"{state.files} looked up{so_far}, {state.completed} finished, {state.failed} failed"
        ),
        "Format": state.result_format,
        "Failure": state.failure_info,
        "Logs": state.log_url,
    }
    return "\n".join(f"{name:<8} {value}" for name, value in told.items() if value)


def _file_for_programs(row: ResultRow) -> dict[str, Any]:
    file = row.file
    return {
        "input": file.input,
        "success": row.success,
        "time": file.created_at.isoformat(),
        "events": file.events,
        "bytes": file.size,
        "name": file.name if row.success else None,
    }


def _files_for_people(rows: Sequence[ResultRow]) -> str:
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
        f"{size:>{widths[3]}}  {name}"
        for time, outcome, events, size, name in table
    )
