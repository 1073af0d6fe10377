from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicex_layer import watch as watch_module
from servicex_layer.model import TransformStatus
from servicex_layer.watch import Watch

READS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 100)))


class Over:
    """A feed of a request of which nothing more is to be expected."""

    status: TransformStatus | None = None

    def seen(self) -> tuple[int, int]:
        return 0, 0

    async def end(self) -> None:
        pass


@given(before=READS, after=READS)
def test_a_partition_counts_once_and_bytes_always(
    before: list[tuple[int, int]], after: list[tuple[int, int]]
):
    async def watch() -> None:
        watch = Watch(Over())
        for number, received in before:
            watch.note(number, received)
        first = watch.look(0)
        # as after a worker is lost, or where an array is computed again
        for number, received in after:
            watch.note(number, received)
        last = watch.look(first.reads)
        assert first.read == len({number for number, _ in before})
        assert last.read == len({number for number, _ in after})
        assert last.received - first.received == sum(received for _, received in after)
        await watch.close()

    asyncio.run(watch())


def test_it_can_be_closed_and_looked_at_again():
    async def watch() -> None:
        watch = Watch(Over())
        await watch.close()
        for _ in range(2):
            assert watch.look(0).status == ""
            await watch.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(watch())


def test_what_it_waits_for_is_not_begun_anew_while_somebody_looks(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(watch_module, "_LEASE", 0.02)

    class Slow(Over):
        begun = 0
        ended = asyncio.Event()

        async def end(self) -> None:
            self.begun += 1
            await self.ended.wait()

    async def watch() -> None:
        feed = Slow()
        watch = Watch(feed)
        # Ten leases.
        until = time.monotonic() + 0.2
        while time.monotonic() < until:
            watch.look(0)
            await asyncio.sleep(0.002)
        assert feed.begun == 1
        await watch.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(watch())
