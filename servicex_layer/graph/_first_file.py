"""The first finished file of a request: waited for where nothing else tells the form."""

from __future__ import annotations

import sys
import time
from concurrent.futures import Future
from types import TracebackType
from typing import Protocol, Self

import click

from servicex_layer._model import NoFile, ResultFile, TransformStatus

__all__ = ["first_file"]

# Waiting for longer than this is told of, and the line renewed as often; in seconds.
_QUIET = 1.0


class _Feed(Protocol):
    status: TransformStatus | None


def first_file(
    feed: _Feed, status: TransformStatus, waiting: Future[ResultFile | NoFile]
) -> ResultFile | NoFile:
    """Wait for the first file, and tell of it on the standard error.

    Parameters
    ----------
    feed : object
        The request's feed, which will know its state.
    status : TransformStatus
        The state so far.
    waiting : concurrent.futures.Future
        Of the file; cancelled where the waiting is interrupted.
    """
    started = time.monotonic()
    try:
        with _Line() as line:
            while not _is_done(waiting):
                seconds = time.monotonic() - started
                line.show(
                    f"Request {status.request_id}: waiting for its first file to tell the form "
                    f"({seconds:.0f} s; {feed.status or status}). With form=… there is no need to "
                    "wait."
                )
        return waiting.result()
    finally:
        waiting.cancel()


def _is_done(waiting: Future[ResultFile | NoFile]) -> bool:
    try:
        waiting.exception(_QUIET)
    except TimeoutError:
        return False
    return True


class _Line:
    """A line on a terminal that is written anew; elsewhere it is written once."""

    def __init__(self) -> None:
        self._shown = False
        self._terminal = sys.stderr.isatty()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._shown and self._terminal:
            click.echo("\r\x1b[K", nl=False, err=True)

    def show(self, text: str) -> None:
        """Write it."""
        if self._terminal:
            click.echo(f"\r\x1b[K{text}", nl=False, err=True)
        elif not self._shown:
            click.echo(text, err=True)
        self._shown = True
