"""Counters of the calls to a server."""

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
    "logs",
    "file",
)


class FileCall(NamedTuple):
    """A call for a result file.

    Parameters
    ----------
    method
        ``GET`` or ``HEAD``.
    object
        The file's name in the object store.
    range
        The ``Range`` header, None if the call is for the whole file.
    """

    method: str
    object: str
    range: str | None


class Traffic:
    """Counts the calls to a `LocalServiceX` and what it sends. Thread-safe.

    Each property is a snapshot.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Set all counters to zero."""
        with self._lock:
            self._calls: Counter[str] = Counter()
            self._rows = 0
            self._bytes = 0
            self._files: list[FileCall] = []

    @property
    def calls(self) -> Counter[str]:
        """Calls by route, rejected and faulty ones included.

        The routes are ``info``, ``token``, ``submit``, ``list``, ``status``, ``results``,
        ``cancel``, ``delete``, ``file-urls``, ``dataset``, ``logs`` and ``file``.
        """
        with self._lock:
            return self._calls.copy()

    @property
    def rows(self) -> int:
        """Rows sent in answers to ``results``."""
        with self._lock:
            return self._rows

    @property
    def bytes(self) -> int:
        """Bytes of result files sent, bodies only."""
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
        """Count sent rows."""
        with self._lock:
            self._rows += number

    def add_file(self, call: FileCall) -> None:
        """Record a call for a result file."""
        with self._lock:
            self._files.append(call)

    def add_bytes(self, number: int) -> None:
        """Count sent bytes of a result file."""
        with self._lock:
            self._bytes += number
