"""The command ``list``."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import click

from servicex_layer._config import find_backend
from servicex_layer._model import TransformStatus
from servicex_layer.backend import list_requests, text_table
from servicex_layer.cli._errors import errors_without_traceback
from servicex_layer.cli._options import backend_option, json_option

__all__ = ["list_command"]


@click.command("list")
@backend_option
@json_option
def list_command(*, backend: str | None, as_json: bool) -> None:
    """List your requests, the newest first.

    A backend without authentication lists the requests of all users.
    """
    with errors_without_traceback():
        statuses = asyncio.run(list_requests(find_backend(backend)))
        if as_json:
            click.echo(json.dumps([*map(_as_json, statuses)], indent=2))
        else:
            click.echo(_as_text(statuses))


def _as_json(status: TransformStatus) -> dict[str, Any]:
    submitted_at = status.submitted_at
    return {
        "request_id": status.request_id,
        "title": status.title,
        "submitted": None if submitted_at is None else submitted_at.isoformat(),
        "status": status.status,
        "files": status.files,
        "completed": status.completed,
        "failed": status.failed,
    }


def _as_text(statuses: Sequence[TransformStatus]) -> str:
    rows = [("request", "submitted (UTC)", "status", "files", "finished", "failed", "title")]
    for each in statuses:
        submitted_at = "?" if each.submitted_at is None else f"{each.submitted_at:%Y-%m-%d %H:%M}"
        counts = (f"{each.files}", f"{each.completed}", f"{each.failed}")
        # A title can have several lines.
        title = " ".join(each.title.split())
        rows.append((each.request_id, submitted_at, each.status, *counts, title))
    return text_table(rows, numbers={3, 4, 5})
