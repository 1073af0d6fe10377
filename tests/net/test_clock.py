from __future__ import annotations

import asyncio

from servicex_layer.net import SYSTEM_CLOCK


def test_a_pause_lasts_as_long_as_asked_by_the_clock_itself():
    async def pause() -> float:
        start = SYSTEM_CLOCK.monotonic()
        await SYSTEM_CLOCK.sleep(0.05)
        return SYSTEM_CLOCK.monotonic() - start

    # The clocks of an event loop have a resolution of some milliseconds.
    assert asyncio.run(pause()) > 0.04
