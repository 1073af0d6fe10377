"""Read progress of a request: kept beside its feed."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from typing import Protocol

from servicex_layer._model import TransformStatus
from servicex_layer.errors import ServiceXLayerError
from servicex_layer.net import SYSTEM_CLOCK, Clock

__all__ = ["ReadProgress", "RequestProgress"]

# A request is polled for so many seconds after its progress was asked for, and not for so many
# seconds after an error.
_LEASE = 5.0


@dataclass(frozen=True, slots=True)
class RequestProgress:
    """How far a request is.

    Parameters
    ----------
    status : str
        The backend's word for it; empty before the first answer.
    files, finished, failed : int
        Number of input files looked up, with a result, and without.
    file_count_final : bool
        Whether `files` is final.
    reads : int
        How often any partition has been read.
    read : int
        How many different partitions have been read since the progress that is compared with.
    received : int
        How many bytes have been transferred for all reads.
    error : str
        Why the backend did not answer; empty if it did.
    """

    status: str
    files: int
    finished: int
    failed: int
    file_count_final: bool
    reads: int
    read: int
    received: int
    error: str


class _Feed(Protocol):
    status: TransformStatus | None

    def counts(self) -> tuple[int, int]: ...

    async def end(self) -> None: ...


class ReadProgress:
    """Counts what is read of a request, and has the request polled while its progress is shown.

    So files are seen to finish even if no task waits for one.

    Parameters
    ----------
    feed : object
        The request's feed.
    clock : Clock, optional
        What measures time.
    """

    def __init__(self, feed: _Feed, clock: Clock = SYSTEM_CLOCK) -> None:
        self._feed = feed
        self._clock = clock
        self._lock = threading.Lock()
        # Of each partition, the index of its last read among all reads.
        self._last_read: dict[int, int] = {}
        self._reads = 0
        self._received = 0
        self._lease_end = 0.0
        self._watching: asyncio.Task[None] | None = None
        self._error = ""

    def record(self, number: int, received: int) -> None:
        """Record that a partition was read, and the bytes it took; from any thread."""
        with self._lock:
            self._last_read[number] = self._reads
            self._reads += 1
            self._received += received

    def get(self, since: int) -> RequestProgress:
        """Return how far the request is, and poll it for a while.

        Parameters
        ----------
        since : int
            The `RequestProgress.reads` of the progress that is compared with.
        """
        self._lease_end = self._clock.monotonic() + _LEASE
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch(), name="watch a request")
        with self._lock:
            read = sum(index >= since for index in self._last_read.values())
            reads, received = self._reads, self._received
        status = self._feed.status
        finished, failed = self._feed.counts()
        return RequestProgress(
            status="" if status is None else status.status,
            files=0 if status is None else status.files,
            finished=finished,
            failed=failed,
            file_count_final=status is not None and status.file_count_final,
            reads=reads,
            read=read,
            received=received,
            error=self._error,
        )

    async def close(self) -> None:
        """Stop polling, until the progress is asked for again."""
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.cancel()
            await asyncio.wait([watching])

    async def _watch(self) -> None:
        ending = asyncio.create_task(self._wait_for_end(), name="wait for the end of a request")
        try:
            while (left := self._lease_end - self._clock.monotonic()) > 0:
                pause = asyncio.ensure_future(self._clock.sleep(left))
                try:
                    await asyncio.wait([ending, pause], return_when=asyncio.FIRST_COMPLETED)
                finally:
                    pause.cancel()
                if ending.done():
                    ending.result()
                    ending = asyncio.create_task(self._wait_for_end(), name=ending.get_name())
        finally:
            ending.cancel()
            await asyncio.wait([ending])

    async def _wait_for_end(self) -> None:
        self._error = ""
        try:
            await self._feed.end()
        except ServiceXLayerError as error:
            self._error = str(error)
        await self._clock.sleep(_LEASE)
