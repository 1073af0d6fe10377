"""What went over the wire."""

from __future__ import annotations

import threading
from collections import Counter
from typing import NamedTuple

ROUTES = (
    "info",
    "token",
    "submit",
    "list",
    "status",
    "results",
    "cancel",
    "delete",
    "file-urls",
    "dataset",
    "file",
)


class FileCall(NamedTuple):
    """One call for a result file.

    Parameters
    ----------
    method
        ``GET`` or ``HEAD``.
    object
        The file's name in the object store.
    range
        The ``Range`` header, None where the whole file was asked for.
    """

    method: str
    object: str
    range: str | None


class Traffic:
    """Counts what a `LocalServiceX` was asked for and what it sent.

    Safe to use from several threads; each property is a snapshot.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Count from zero again."""
        with self._lock:
            self._calls: Counter[str] = Counter()
            self._rows = 0
            self._bytes = 0
            self._files: list[FileCall] = []

    @property
    def calls(self) -> Counter[str]:
        """Calls by route.

        The routes: ``info``, ``token``, ``submit``, ``list``, ``status``, ``results``, ``cancel``,
        ``delete``, ``file-urls``, ``dataset``, ``file``. Rejected calls count too, and
        those that a fault befalls.
        """
        with self._lock:
            return self._calls.copy()

    @property
    def rows(self) -> int:
        """Rows that were sent in answer to ``results``."""
        with self._lock:
            return self._rows

    @property
    def bytes(self) -> int:
        """Bytes of result files that were sent, bodies only."""
        with self._lock:
            return self._bytes

    @property
    def files(self) -> list[FileCall]:
        """The calls for result files, in order of arrival."""
        with self._lock:
            return self._files.copy()

    def add_call(self, route: str) -> None:
        """Count a call."""
        with self._lock:
            self._calls[route] += 1

    def add_rows(self, number: int) -> None:
        """Count rows that are sent."""
        with self._lock:
            self._rows += number

    def add_file(self, call: FileCall) -> None:
        """Take down a call for a result file."""
        with self._lock:
            self._files.append(call)

    def add_bytes(self, number: int) -> None:
        """Count bytes of a result file that are sent."""
        with self._lock:
            self._bytes += number
