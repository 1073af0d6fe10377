"""The clock of code that waits; tests inject their own."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

__all__ = ["SYSTEM_CLOCK", "Clock"]


class Clock(Protocol):
    """A monotonic clock, and pauses by it."""

    def monotonic(self) -> float:
        """Return a time in seconds that never goes back; only differences have a meaning."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Pause for a number of seconds."""
        ...


class _SystemClock:
    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


SYSTEM_CLOCK: Clock = _SystemClock()
