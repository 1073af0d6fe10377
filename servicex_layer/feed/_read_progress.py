"""How far a request is, for whoever looks: kept where its feed is."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass
from typing import Protocol

from servicex_layer._model import TransformStatus
from servicex_layer.errors import ServiceXLayerError

__all__ = ["ReadProgress", "RequestProgress"]

# For so many seconds after a look a request is followed, and after an error is left in peace.
_LEASE = 5.0


@dataclass(frozen=True, slots=True)
class RequestProgress:
    """How far a request is.

    Parameters
    ----------
    status : str
        As the backend tells it; empty before it was asked.
    files, finished, failed : int
        Number of input files looked up, with a result, and without.
    counted : bool
        Whether `files` is final.
    reads : int
        How often any partition was read, ever.
    read : int
        How many partitions were read since the look that is compared with.
    received : int
        How many bytes were transferred for them, ever.
    error : str
        Why the backend could not be asked, where it could not.
    """

    status: str
    files: int
    finished: int
    failed: int
    counted: bool
    reads: int
    read: int
    received: int
    error: str


class _Feed(Protocol):
    status: TransformStatus | None

    def seen(self) -> tuple[int, int]: ...

    async def end(self) -> None: ...


class ReadProgress:
    """Counts what is read of a request, and has the request followed while somebody looks.

    So the finished files are told also while no task waits for one.

    Parameters
    ----------
    feed : object
        The request's feed.
    """

    def __init__(self, feed: _Feed) -> None:
        self._feed = feed
        self._lock = threading.Lock()
        # Of each partition, the place of its last reading among all.
        self._last: dict[int, int] = {}
        self._reads = 0
        self._received = 0
        self._until = 0.0
        self._following: asyncio.Task[None] | None = None
        self._error = ""

    def note(self, number: int, received: int) -> None:
        """Note that a partition was read, from any thread."""
        with self._lock:
            self._last[number] = self._reads
            self._reads += 1
            self._received += received

    def look(self, since: int) -> RequestProgress:
        """Tell how far it is.

        Parameters
        ----------
        since : int
            The `RequestProgress.reads` of the look that is compared with.
        """
        self._until = time.monotonic() + _LEASE
        if self._following is None or self._following.done():
            self._following = asyncio.create_task(self._follow(), name="watch a request")
        with self._lock:
            read = sum(place >= since for place in self._last.values())
            reads, received = self._reads, self._received
        status = self._feed.status
        finished, failed = self._feed.seen()
        return RequestProgress(
            status="" if status is None else status.status,
            files=0 if status is None else status.files,
            finished=finished,
            failed=failed,
            counted=status is not None and status.file_count_final,
            reads=reads,
            read=read,
            received=received,
            error=self._error,
        )

    async def close(self) -> None:
        """End the following, unless somebody looks again."""
        following, self._following = self._following, None
        if following is not None:
            following.cancel()
            await asyncio.wait([following])

    async def _follow(self) -> None:
        ending = asyncio.create_task(self._ended(), name="wait for the end of a request")
        try:
            while (left := self._until - time.monotonic()) > 0:
                done, _ = await asyncio.wait([ending], timeout=left)
                if done:
                    ending.result()
                    ending = asyncio.create_task(self._ended(), name=ending.get_name())
        finally:
            ending.cancel()
            await asyncio.wait([ending])

    async def _ended(self) -> None:
        self._error = ""
        try:
            await self._feed.end()
        except ServiceXLayerError as error:
            self._error = str(error)
        await asyncio.sleep(_LEASE)
