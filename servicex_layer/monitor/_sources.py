"""Where the progress of a request is read: the scheduler of a cluster, or this process."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from distributed import Client

from servicex_layer._config import find_backend
from servicex_layer.feed import RequestProgress, active_client, loop_thread, process_feed, register
from servicex_layer.monitor._requests import RequestSelection

__all__ = ["ProgressSource", "source_of"]

# Seconds to wait for an answer of a cluster's scheduler.
_SCHEDULER_TIMEOUT = 30.0


class ProgressSource(Protocol):
    """Reads the progress of one request."""

    def read(self, since: int) -> RequestProgress:
        """Return the progress, counting partitions read after the first `since` reads.

        Raises
        ------
        OSError
            If the scheduler of the cluster does not answer.
        """
        ...

    def close(self) -> None:
        """Stop keeping the request's list of files up to date."""
        ...


def source_of(selection: RequestSelection) -> ProgressSource:
    """Return the source of a request's progress: the active client's cluster, or this process."""
    client = active_client()
    return _ProcessSource(selection) if client is None else _ClusterSource(selection, client)


class _ProcessSource:
    def __init__(self, selection: RequestSelection) -> None:
        feed = process_feed(selection.request_id, find_backend(selection.backend))
        self._read_progress = feed.read_progress

    def read(self, since: int) -> RequestProgress:
        return loop_thread().run(self._read(since))

    async def _read(self, since: int) -> RequestProgress:
        return self._read_progress.get(since)

    def close(self) -> None:
        loop_thread().run(self._read_progress.close())


class _ClusterSource:
    def __init__(self, selection: RequestSelection, client: Client) -> None:
        self._request = {
            "request_id": selection.request_id,
            "backend": find_backend(selection.backend).url,
        }
        self._client = client
        if not client.asynchronous:
            register(client, selection.backend)

    def read(self, since: int) -> RequestProgress:
        # The event loop of a closed client may have ended: a coroutine on it would never return.
        if self._client.status != "running":
            raise OSError(f"the client is {self._client.status}")
        loop: Any = self._client.loop
        answer = asyncio.run_coroutine_threadsafe(self._read(since), loop.asyncio_loop)
        return answer.result(_SCHEDULER_TIMEOUT)

    async def _read(self, since: int) -> RequestProgress:
        scheduler: Any = self._client.scheduler
        return RequestProgress(
            **await scheduler.servicex_progress(request=self._request, since=since)
        )

    def close(self) -> None:
        # The scheduler stops by itself when it is not asked any more.
        pass
