"""Answers the questions of other processes for files, for the process that holds the feeds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Protocol

from servicex_layer._model import Location, NoFile, ResultFile
from servicex_layer.errors import ServiceXLayerError
from servicex_layer.feed._feed import BATCH
from servicex_layer.feed._packing import pack, pack_batch

__all__ = ["Publisher"]

logger = logging.getLogger(__name__)

Request = dict[str, Any]
Ask = Callable[[], Coroutine[Any, Any, tuple[Any, list[Any]]]]
"""Asks a feed; returns the answer and a batch of files."""


class _Feed(Protocol):
    async def get(
        self, number: int, npartitions: int, max_failed: float = 1.0
    ) -> ResultFile | NoFile: ...

    async def locate(self, name: str, rejected: str | None = None) -> Location: ...

    def resolved_batch(
        self, number: int, npartitions: int, max_failed: float
    ) -> list[ResultFile | NoFile]: ...


class Publisher:
    """The waits of other processes (the peers), in one event loop.

    Parameters
    ----------
    find_feed : callable
        Returns the feed of a request.
    send : callable
        Sends a message to a peer.
    """

    def __init__(
        self,
        find_feed: Callable[[Request], _Feed],
        send: Callable[[Any, dict[str, Any]], None],
    ) -> None:
        self._find_feed = find_feed
        self._send = send
        self._waits: dict[tuple[Hashable, int], asyncio.Task[None]] = {}
        # Which batches each peer has been sent, by the request's id.
        self._sent: dict[Hashable, dict[str, set[tuple[Any, ...]]]] = {}

    @property
    def is_idle(self) -> bool:
        """Whether no peer waits."""
        return not self._waits

    def get(self, peer: Hashable, wait: int, request: Request, question: dict[str, Any]) -> None:
        """Wait for a file and send it, with the batch that it is in."""

        async def ask() -> tuple[Any, list[Any]]:
            feed = self._find_feed(request)
            file = await feed.get(**question)
            return file, self._unsent_batch(peer, feed, request, question)

        self._start(peer, wait, request, ask)

    def locate(self, peer: Hashable, wait: int, request: Request, question: dict[str, Any]) -> None:
        """Send where a file is."""

        async def ask() -> tuple[Any, list[Any]]:
            return await self._find_feed(request).locate(**question), []

        self._start(peer, wait, request, ask)

    def cancel(self, peer: Hashable, wait: int) -> None:
        """End a wait."""
        task = self._waits.pop((peer, wait), None)
        if task is not None:
            task.cancel()

    def remove(self, peer: Hashable) -> None:
        """End the waits of a peer that is gone."""
        self._sent.pop(peer, None)
        for other, wait in list(self._waits):
            if other == peer:
                self.cancel(peer, wait)

    def forget(self, request_id: str) -> None:
        """Forget what has been sent of a request."""
        for sent in self._sent.values():
            sent.pop(request_id, None)

    async def close(self) -> None:
        """End all waits."""
        waits = list(self._waits.values())
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)

    def _start(
        self,
        peer: Hashable,
        wait: int,
        request: Request,
        ask: Ask,
    ) -> None:
        self._waits[peer, wait] = asyncio.create_task(self._answer(peer, wait, request, ask))

    async def _answer(
        self,
        peer: Hashable,
        wait: int,
        request: Request,
        ask: Ask,
    ) -> None:
        batch: list[Any] = []
        answer: Any
        try:
            answer, batch = await ask()
        except ServiceXLayerError as error:
            answer = error
        except Exception as error:
            logger.exception("Polling request %s failed", request["request_id"])
            # The peer raises it, so it must survive a pickle.
            answer = ServiceXLayerError(
                f"Polling request {request['request_id']} failed: {error!r}. This is an error of "
                "servicex_layer; see the log of the scheduler or parent process, and report it."
            )
        self._waits.pop((peer, wait), None)
        packed = {"answer": pack(answer), "batch": pack_batch(batch)}
        self._send(peer, {"op": "servicex_answer", "wait": wait, **packed})

    def _unsent_batch(
        self, peer: Hashable, feed: _Feed, request: Request, question: dict[str, Any]
    ) -> list[ResultFile | NoFile]:
        """Return the batch of files of a number, unless the peer has been sent it."""
        batch = (*request.values(), *{**question, "number": question["number"] // BATCH}.values())
        sent = self._sent.setdefault(peer, {}).setdefault(request["request_id"], set())
        if batch in sent:
            return []
        files = feed.resolved_batch(**question)
        if files:
            sent.add(batch)
        return files
