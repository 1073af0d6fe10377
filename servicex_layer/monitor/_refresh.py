"""The thread that reads the progress of requests and shows it, until it is stopped."""

from __future__ import annotations

import concurrent.futures
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from servicex_layer.feed import ProgressSource, RequestProgress
from servicex_layer.monitor._requests import RequestSelection
from servicex_layer.monitor._views import Line, View

__all__ = ["RefreshThread", "RequestMonitor"]

_SECONDS_BETWEEN_REFRESHES = 0.5


@dataclass
class RequestMonitor:
    """One request from the start of `progress` on.

    Parameters
    ----------
    selection : RequestSelection
        The request and the partitions needed of it.
    source : ProgressSource
        Where its progress is read.
    """

    selection: RequestSelection
    source: ProgressSource
    first: RequestProgress | None = None
    latest: RequestProgress | None = None
    problem: str = ""
    finished_after: float | None = None

    def refresh(self) -> None:
        """Read the progress."""
        try:
            self.latest = self.source.read(0 if self.first is None else self.first.reads)
        except (OSError, concurrent.futures.CancelledError) as error:
            # The cluster is gone or busy. The computation itself raises if it is gone.
            self.problem = f"Dask's scheduler does not answer: {error!r}"
            return
        self.problem = self.latest.error
        if self.first is None:
            self.first = self.latest

    def line(self, seconds: float) -> Line:
        """Return what to show `seconds` after the start."""
        first, latest, name = self.first, self.latest, self.selection.name
        if first is None or latest is None:
            return Line(name, "connecting", problem=self.problem)
        partitions = self.selection.partitions
        if partitions is None:
            partitions = latest.files
        read = 0 if latest is first else min(latest.read, partitions)
        if self.finished_after is None and partitions and read == partitions:
            self.finished_after = seconds
        return Line(
            name,
            latest.status or "connecting",
            latest.files,
            latest.finished,
            latest.failed,
            partitions,
            read,
            latest.received - first.received,
            seconds if self.finished_after is None else self.finished_after,
            self.problem,
        )


class RefreshThread:
    """The thread that refreshes a view.

    Parameters
    ----------
    view : View
        The view.
    monitors : sequence of RequestMonitor
        The requests to show.
    """

    def __init__(self, view: View, monitors: Sequence[RequestMonitor]) -> None:
        self._view = view
        self._monitors = monitors
        self._stopped = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name="servicex-layer-progress", daemon=True
        )
        self._started_at = 0.0

    def start(self) -> None:
        """Show the state before the computation, and begin to refresh it."""
        self._started_at = time.monotonic()
        # The first reading is the baseline: it excludes what earlier computations read.
        self._refresh()
        self._view.start()
        self._show()
        self._thread.start()

    def stop(self) -> None:
        """Show the final state and end."""
        self._stopped.set()
        self._thread.join()
        try:
            self._refresh()
            self._show()
        finally:
            self._view.stop()
            for monitor in self._monitors:
                monitor.source.close()

    def _run(self) -> None:
        while not self._stopped.wait(_SECONDS_BETWEEN_REFRESHES):
            self._refresh()
            self._show()

    def _refresh(self) -> None:
        for monitor in self._monitors:
            monitor.refresh()

    def _show(self) -> None:
        seconds = time.monotonic() - self._started_at
        self._view.show([monitor.line(seconds) for monitor in self._monitors])
