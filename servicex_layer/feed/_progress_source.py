"""Where the progress of a request is read: the scheduler of a cluster, or this process."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from distributed import Client

from servicex_layer._config import find_backend
from servicex_layer.feed._cluster import active_client
from servicex_layer.feed._loop_thread import loop_thread
from servicex_layer.feed._read_progress import ReadProgress, RequestProgress
from servicex_layer.feed._register import register
from servicex_layer.feed._session import process_feed

__all__ = ["ProgressSource", "progress_source"]

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


def progress_source(request_id: str, backend: str | None) -> ProgressSource:
    """Return the source of a request's progress: the active client's cluster, or this process.

    Parameters
    ----------
    request_id : str
        The request.
    backend : str or None
        The backend's name in ``servicex.yaml``; ``None`` for the default.

    Raises
    ------
    ConfigError
        If ``servicex.yaml`` is missing or invalid.
    UnknownBackendError
        If it has no such backend.
    """
    chosen = find_backend(backend)
    client = active_client()
    if client is None:
        return _ProcessSource(process_feed(request_id, chosen).read_progress)
    if not client.asynchronous:
        register(client, backend)
    return _ClusterSource(client, {"request_id": request_id, "backend": chosen.url})


class _ProcessSource:
    def __init__(self, read_progress: ReadProgress) -> None:
        self._read_progress = read_progress

    def read(self, since: int) -> RequestProgress:
        return loop_thread().run(self._read(since))

    async def _read(self, since: int) -> RequestProgress:
        return self._read_progress.get(since)

    def close(self) -> None:
        loop_thread().run(self._read_progress.close())


class _ClusterSource:
    def __init__(self, client: Client, request: dict[str, str]) -> None:
        self._client = client
        self._request = request

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
