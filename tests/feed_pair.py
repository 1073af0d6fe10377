"""A publisher and a subscriber in one event loop, without a stream between them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from servicex_layer._model import Location, NoFile, ResultFile
from servicex_layer.feed._publisher import Publisher
from servicex_layer.feed._subscriber import RemoteFeed, Subscriber


class ScriptedFeed:
    """Hands out files when a test says so."""

    def __init__(self, batch: list[ResultFile | NoFile] | None = None) -> None:
        self.batch = batch or []
        self.error: Exception | None = None
        self._events: dict[int, asyncio.Event] = {}
        self.waiting: set[int] = set()

    def release(self, *numbers: int) -> None:
        for number in numbers:
            self._event(number).set()

    async def get(
        self, number: int, npartitions: int, max_failed: float = 1.0
    ) -> ResultFile | NoFile:
        del npartitions, max_failed
        if self.error is not None:
            raise self.error
        self.waiting.add(number)
        try:
            await self._event(number).wait()
        finally:
            self.waiting.remove(number)
        return NoFile(number)

    async def locate(self, name: str, rejected: str | None = None) -> Location:
        return Location(f"http://a-store/{name}?rejected={rejected}")

    def resolved_batch(
        self, number: int, npartitions: int, max_failed: float
    ) -> list[ResultFile | NoFile]:
        del number, npartitions, max_failed
        return self.batch

    def _event(self, number: int) -> asyncio.Event:
        return self._events.setdefault(number, asyncio.Event())


class Peers:
    """Subscribers of one publisher; what it sends is in `sent`, as (peer, message)."""

    def __init__(self, feed: ScriptedFeed) -> None:
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.publisher = Publisher(lambda _: feed, self._send)
        self._subscribers: dict[str, Subscriber] = {}

    def subscriber(self, peer: str, is_open: Callable[[], bool] | None = None) -> Subscriber:
        def receive(message: dict[str, Any]) -> None:
            op = message.pop("op")
            wait = message.pop("wait")
            if op == "servicex_unsubscribe":
                self.publisher.cancel(peer, wait)
                return
            ask = self.publisher.get if op == "servicex_subscribe" else self.publisher.locate
            ask(peer, wait, message.pop("request"), message)

        self._subscribers[peer] = Subscriber(receive, is_open)
        return self._subscribers[peer]

    def feed(self, peer: str, request_id: str = "a-request") -> RemoteFeed:
        subscriber = self._subscribers.get(peer) or self.subscriber(peer)
        return RemoteFeed(subscriber, request_id, "http://a-backend", (0, b"", ""), _no_submit)

    def _send(self, peer: str, message: dict[str, Any]) -> None:
        self.sent.append((peer, message))
        self._subscribers[peer].answer(message["wait"], message["answer"], message["batch"])


def _no_submit(coroutine: Any) -> Any:
    raise AssertionError("these tests have an event loop of their own")


async def until_waiting(feed: ScriptedFeed, *numbers: int) -> None:
    """Let the event loop run until exactly these numbers are waited for."""
    async with asyncio.timeout(30):
        while feed.waiting != set(numbers):
            await asyncio.sleep(0)
