"""A clock whose time passes when a test says so."""

from __future__ import annotations

import asyncio
import heapq
import itertools

# Turns of the event loop in which everything that can go on does.
_TURNS = 20


class FakeClock:
    """Sleeps end when `advance` reaches them."""

    def __init__(self) -> None:
        self.now = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._ties = itertools.count()

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + seconds, next(self._ties), future))
        await future

    async def advance(self, seconds: float) -> None:
        """Let time pass: each sleeper wakes at its time."""
        end = self.now + seconds
        await self._settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, future = heapq.heappop(self._sleepers)
            self.now = due
            if not future.done():
                future.set_result(None)
            await self._settle()
        self.now = end

    async def _settle(self) -> None:
        for _ in range(_TURNS):
            await asyncio.sleep(0)


class AutomaticClock:
    """Sleeps take no time; the clock goes on by as much, and keeps them."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)
        self.pauses.append(seconds)
        await asyncio.sleep(0)
