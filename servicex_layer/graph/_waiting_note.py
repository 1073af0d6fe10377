"""A line on the standard error for a wait that takes long."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self, TypeVar

import click

__all__ = ["result_with_note"]

T = TypeVar("T")


def result_with_note(
    pending: Future[T], message: Callable[[float], str], *, quiet: float = 1.0
) -> T:
    """Wait for a result; if that takes long, write on the standard error what is awaited.

    Parameters
    ----------
    pending : concurrent.futures.Future
        The result; cancelled if the wait is interrupted.
    message : callable
        Called with the seconds waited so far; returns the line.
    quiet : float
        Seconds before the line appears, and between its updates. Only a terminal shows updates.
    """
    started = time.monotonic()
    try:
        with _Line() as line:
            while not _is_done(pending, quiet):
                line.show(message(time.monotonic() - started))
        return pending.result()
    finally:
        pending.cancel()


def _is_done(pending: Future[Any], timeout: float) -> bool:
    try:
        pending.exception(timeout)
    except TimeoutError:
        # A TimeoutError of the result is an exception of the future, not of this call.
        return False
    return True


class _Line:
    """A line that a terminal shows in place, until the end; elsewhere it is written once."""

    def __init__(self) -> None:
        self._shown = False
        self._is_terminal = sys.stderr.isatty()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._shown and self._is_terminal:
            click.echo("\r\x1b[K", nl=False, err=True)

    def show(self, text: str) -> None:
        if self._is_terminal:
            click.echo(f"\r\x1b[K{text}", nl=False, err=True)
        elif not self._shown:
            click.echo(text, err=True)
        self._shown = True
