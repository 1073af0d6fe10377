"""A clock for tests: time passes only while something sleeps."""

from __future__ import annotations

import asyncio

__all__ = ["SteppedClock"]


class SteppedClock:
    """A clock that sleeping moves forward, without waiting."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)
        await asyncio.sleep(0)
