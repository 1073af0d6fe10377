"""Asks the process that holds a feed for files: over any stream, many at a time."""

from __future__ import annotations

import asyncio
import concurrent.futures
import itertools
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from servicex_layer._model import Location, NoFile, ResultFile, TransformStatus
from servicex_layer.errors import ServiceXLayerError
from servicex_layer.feed._packing import unpack, unpack_batch

__all__ = ["Feed", "RemoteFeed", "Subscriber"]

T = TypeVar("T")

# How many files a process remembers: about 30 MB.
_REMEMBERED = 50_000
# Seconds after which a wait checks that the stream is still open.
_CHECK_INTERVAL = 1.0

Message = dict[str, Any]


class Feed(Protocol):
    """The feed of a request as a task sees it, wherever it is held."""

    status: TransformStatus | None
    """The last status, if the feed is held here."""

    async def get(
        self, number: int, npartitions: int, max_failed: float = 1.0
    ) -> ResultFile | NoFile:
        """Wait for the file with a number; see `RequestFeed.get`."""
        ...

    def get_nowait(
        self, number: int, npartitions: int, max_failed: float = 1.0
    ) -> ResultFile | NoFile | None:
        """Return the file with a number if it is known; see `RequestFeed.get_nowait`."""
        ...

    async def locate(self, name: str, rejected: str | None = None) -> Location:
        """Return where a file is; see `RequestFeed.locate`."""
        ...

    def locate_nowait(self, file: ResultFile, rejected: str | None = None) -> Location | None:
        """Return where a file is if that is known; see `RequestFeed.locate_nowait`."""
        ...

    def record_read(self, number: int, received: int) -> None:
        """Record that a partition was read, and the bytes it took."""
        ...

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Start one of these coroutines, from any thread."""
        ...


class Subscriber:
    """Sends questions over a stream, and hands the answers to those who asked.

    Parameters
    ----------
    send : callable
        Sends a message to the `Publisher`; called from any thread.
    is_open : callable, optional
        Returns whether the stream is still open, if nothing else ends waits when it is not.
    """

    known: dict[tuple[Any, ...], ResultFile | NoFile]
    """Files that will not change any more, by the question that they answer."""

    def __init__(
        self, send: Callable[[Message], None], is_open: Callable[[], bool] | None = None
    ) -> None:
        self.known = {}
        self.send = send
        self._is_open = is_open
        self._answers: dict[int, asyncio.Future[tuple[bytes, bytes]]] = {}
        self._wait_ids = itertools.count()

    async def ask(self, op: str, **question: Any) -> tuple[Any, Any]:
        """Send a question and wait for the answer; raise it if it is an error."""
        wait = next(self._wait_ids)
        future: asyncio.Future[tuple[bytes, bytes]] = asyncio.get_running_loop().create_future()
        self._answers[wait] = future
        self.send({"op": op, "wait": wait, **question})
        try:
            answer, batch = await self._wait(future)
        except asyncio.CancelledError:
            self.send({"op": "servicex_unsubscribe", "wait": wait})
            raise
        finally:
            del self._answers[wait]
        return unpack(answer), unpack_batch(batch)

    async def _wait(self, future: asyncio.Future[tuple[bytes, bytes]]) -> tuple[bytes, bytes]:
        if self._is_open is None:
            return await future
        while not (await asyncio.wait([future], timeout=_CHECK_INTERVAL))[0]:
            if not self._is_open():
                raise ServiceXLayerError(
                    "The connection to the process that holds the list of finished files was "
                    "closed during the wait for a file. Compute again."
                )
        return future.result()

    def answer(self, wait: int, answer: bytes, batch: bytes) -> None:
        """Take an answer; called from any thread."""
        future = self._answers.get(wait)
        if future is not None:
            future.get_loop().call_soon_threadsafe(_set_result, future, (answer, batch))

    def remember(self, question: tuple[Any, ...], file: ResultFile | NoFile) -> None:
        """Keep an answer; the oldest ones are dropped, and asked for again."""
        self.known[question] = file
        while len(self.known) > _REMEMBERED:
            del self.known[next(iter(self.known))]

    def cancel_all(self) -> None:
        """Cancel all waits."""
        for future in list(self._answers.values()):
            future.get_loop().call_soon_threadsafe(future.cancel)


def _set_result(future: asyncio.Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)


class RemoteFeed:
    """A feed that another process holds.

    Parameters
    ----------
    subscriber : Subscriber
        Asks that process.
    request_id : str
        The request.
    backend : str or None
        The backend's URL, or a name that the other process knows.
    known : tuple
        What the session knows of the order; see `SessionOrders.summary`.
    submit : callable
        Starts a coroutine in the event loop that waits.
    """

    def __init__(
        self,
        subscriber: Subscriber,
        request_id: str,
        backend: str | None,
        known: tuple[int, bytes, str],
        submit: Callable[[Coroutine[Any, Any, Any]], concurrent.futures.Future[Any]],
    ) -> None:
        self.status: TransformStatus | None = None
        self.submit = submit
        self._subscriber = subscriber
        self._request = {"request_id": request_id, "backend": backend, "known": known}

    async def get(
        self, number: int, npartitions: int, max_failed: float = 1.0
    ) -> ResultFile | NoFile:
        """See `Feed.get`."""
        file: ResultFile | NoFile
        file, batch = await self._subscriber.ask(
            "servicex_subscribe",
            request=self._request,
            number=number,
            npartitions=npartitions,
            max_failed=max_failed,
        )
        for other in batch:
            question = (*self._request.values(), other.number, npartitions, max_failed)
            self._subscriber.remember(question, other)
        return file

    def get_nowait(
        self, number: int, npartitions: int, max_failed: float = 1.0
    ) -> ResultFile | NoFile | None:
        """See `Feed.get_nowait`."""
        question = (*self._request.values(), number, npartitions, max_failed)
        return self._subscriber.known.get(question)

    def resolved_batch(
        self, number: int, npartitions: int, max_failed: float
    ) -> list[ResultFile | NoFile]:
        """Return nothing: a batch is only sent by the process that holds the feed."""
        del number, npartitions, max_failed
        return []

    async def locate(self, name: str, rejected: str | None = None) -> Location:
        """See `Feed.locate`."""
        location: Location
        location, _ = await self._subscriber.ask(
            "servicex_locate", request=self._request, name=name, rejected=rejected
        )
        return location

    def locate_nowait(self, file: ResultFile, rejected: str | None = None) -> Location | None:
        """See `Feed.locate_nowait`."""
        del rejected
        return Location("", path=file.name) if file.volume else None

    def record_read(self, number: int, received: int) -> None:
        """See `Feed.record_read`."""
        read = {"request": self._request, "number": number, "received": received}
        self._subscriber.send({"op": "servicex_record_read", **read})
