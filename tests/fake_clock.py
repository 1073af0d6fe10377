"""A clock for tests, in place of `servicex_layer.net.SYSTEM_CLOCK`."""

from __future__ import annotations

import asyncio


class FakeClock:
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
