"""The demo's progress bar."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any, Self

import click

__all__ = ["Progress"]


class Progress:
    """A bar of partitions computed, with the number of files finished beside it.

    A context manager. Where the output is no terminal, it writes one plain line. Safe to use
    from several threads.

    Parameters
    ----------
    files : int
        The number of files, which is that of partitions.
    """

    def __init__(self, files: int) -> None:
        self._finished = 0
        self._lock = threading.Lock()
        # update_min_steps: also draw where only the number of files has changed
        self._bar: Any = click.progressbar(
            label="Partitions computed",
            length=files,
            show_pos=True,
            show_percent=False,
            show_eta=False,
            item_show_func=lambda _: f"{self._finished}/{files} files finished",
            update_min_steps=0,
        )

    def __enter__(self) -> Self:
        self._bar.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._lock:
            self._bar.__exit__(kind, error, traceback)

    def show_files(self, finished: int) -> None:
        """Show how many files are finished."""
        with self._lock:
            self._finished = finished
            self._bar.update(0)

    def add_partition(self) -> None:
        """Show that one more partition is computed."""
        with self._lock:
            self._bar.update(1)
