"""Progress: how far requests are, and what is computed of them, while it happens."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

from distributed import Client

from servicex_layer._config import find_backend
from servicex_layer.feed import RequestProgress, active_client, loop_thread, process_feed, register
from servicex_layer.monitor._requests import RequestSelection, requests_of
from servicex_layer.monitor._views import Line, View, notebook, terminal

__all__ = ["progress"]

# Seconds between two looks.
_PAUSE = 0.5
# How long a look may take on a cluster; then what was seen before is shown.
_PATIENCE = 30.0


class progress:  # noqa: N801  (called like a function)
    """Show how far requests are while something is computed of them.

    A context manager. For each request it tells the files that were looked up, those that are
    finished and that failed, and the partitions that were read since it was entered, with their
    bytes, the rate, and the time left. In a terminal it writes to the standard error, which needs
    the extra ``progress``; in a notebook below the cell. Elsewhere, and where the environment
    variable ``CI`` is set, it shows nothing.

    It adds no poller: on a Dask cluster it asks the scheduler, else the process's own list of
    finished files. What ``scheduler="processes"`` reads is not told to it.

    Parameters
    ----------
    *arrays_or_requests
        Arrays of `from_servicex` or what is made of them, ids of requests of the default backend,
        or mappings from names to either, as `deliver` gives them.

    Raises
    ------
    InvalidArgumentError
        Where something is none of these.
    ConfigError
        Where ``servicex.yaml`` or the backend in it is not found.
    MissingExtraError
        In a terminal, where ``rich`` is not installed.

    Examples
    --------
    Around a computation:

    >>> with progress(events):  # doctest: +SKIP
    ...     result = events.JetPt.compute()

    Around futures, which begin within it:

    >>> with progress(events):  # doctest: +SKIP
    ...     futures = client.compute([events.JetPt, events.JetEta])
    ...     distributed.wait(futures)
    """

    _follower: _RefreshThread | None

    def __init__(self, *arrays_or_requests: Any) -> None:
        wanted = requests_of(arrays_or_requests)
        view = _view()
        self._follower = (
            None if view is None else _RefreshThread(view, [_watched(w) for w in wanted])
        )

    def __enter__(self) -> Self:
        if self._follower is not None:
            self._follower.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._follower is not None:
            self._follower.stop()


def _view() -> View | None:
    if os.environ.get("CI"):
        return None
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if hasattr(shell, "kernel"):
        return notebook()
    return terminal() if sys.stderr.isatty() else None


class _Source(Protocol):
    """Where the state of a request can be had."""

    def look(self, since: int) -> RequestProgress:
        """Tell how far it is; see `ReadProgress.get`."""
        ...

    def close(self) -> None:
        """End the following."""
        ...


class _InProcess:
    """The process's own feed of a request."""

    def __init__(self, wanted: RequestSelection) -> None:
        self._watch = process_feed(wanted.request_id, find_backend(wanted.backend)).read_progress

    def look(self, since: int) -> RequestProgress:
        return loop_thread().run(self._look(since))

    async def _look(self, since: int) -> RequestProgress:
        return self._watch.get(since)

    def close(self) -> None:
        loop_thread().run(self._watch.close())


class _OnCluster:
    """The feed that a cluster's scheduler has of a request."""

    def __init__(self, wanted: RequestSelection, client: Client) -> None:
        self._request = {
            "request_id": wanted.request_id,
            "backend": find_backend(wanted.backend).url,
        }
        self._client = client
        if not client.asynchronous:
            register(client, wanted.backend)

    def look(self, since: int) -> RequestProgress:
        # The loop of a client that is closed may have ended: nothing would come of it.
        if self._client.status != "running":
            raise OSError(f"the client is {self._client.status}")
        loop: Any = self._client.loop
        asking = asyncio.run_coroutine_threadsafe(self._look(since), loop.asyncio_loop)
        return asking.result(_PATIENCE)

    async def _look(self, since: int) -> RequestProgress:
        scheduler: Any = self._client.scheduler
        return RequestProgress(
            **await scheduler.servicex_progress(request=self._request, since=since)
        )

    def close(self) -> None:
        # The scheduler ends the following when it is not asked any more.
        pass


def _watched(wanted: RequestSelection) -> _Watched:
    client = active_client()
    source = _InProcess(wanted) if client is None else _OnCluster(wanted, client)
    return _Watched(wanted, source)


@dataclass
class _Watched:
    """A request since the progress began."""

    wanted: RequestSelection
    source: _Source
    first: RequestProgress | None = None
    last: RequestProgress | None = None
    trouble: str = ""
    done: float | None = None

    def look(self) -> None:
        try:
            self.last = self.source.look(0 if self.first is None else self.first.reads)
        except (OSError, concurrent.futures.CancelledError) as error:
            # The cluster is gone or busy; whoever computes is told so.
            self.trouble = f"Dask's scheduler does not answer: {error!r}"
            return
        self.trouble = self.last.error
        if self.first is None:
            self.first = self.last

    def line(self, seconds: float) -> Line:
        first, last, wanted = self.first, self.last, self.wanted
        if first is None or last is None:
            return Line(wanted.name, "asking", trouble=self.trouble)
        partitions = last.files if wanted.partitions is None else wanted.partitions
        read = 0 if last is first else min(last.read, partitions)
        if self.done is None and partitions and read == partitions:
            self.done = seconds
        return Line(
            wanted.name,
            last.status or "asking",
            last.files,
            last.finished,
            last.failed,
            partitions,
            read,
            last.received - first.received,
            seconds if self.done is None else self.done,
            self.trouble,
        )


class _RefreshThread:
    """The thread that looks again and again, and shows what it sees."""

    def __init__(self, view: View, watched: Sequence[_Watched]) -> None:
        self._view = view
        self._watched = watched
        self._stopped = threading.Event()
        self._thread = threading.Thread(
            target=self._follow, name="servicex-layer-progress", daemon=True
        )
        self._began = 0.0

    def start(self) -> None:
        self._began = time.monotonic()
        # What was read before does not count.
        self._look()
        self._view.start()
        self._show()
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()
        try:
            self._look()
            self._show()
        finally:
            self._view.stop()
            for watched in self._watched:
                watched.source.close()

    def _follow(self) -> None:
        while not self._stopped.wait(_PAUSE):
            self._look()
            self._show()

    def _look(self) -> None:
        for watched in self._watched:
            watched.look()

    def _show(self) -> None:
        seconds = time.monotonic() - self._began
        self._view.show([watched.line(seconds) for watched in self._watched])
