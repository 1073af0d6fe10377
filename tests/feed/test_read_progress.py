from __future__ import annotations

import asyncio

from fake_clock import FakeClock  # type: ignore[import-not-found]
from hypothesis import given
from hypothesis import strategies as st

from servicex_layer._model import TransformStatus
from servicex_layer.feed._read_progress import ReadProgress

READS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 100)))


class Over:
    """A feed of a request of which nothing more is to be expected."""

    status: TransformStatus | None = None

    def counts(self) -> tuple[int, int]:
        return 0, 0

    async def end(self) -> None:
        pass


@given(before=READS, after=READS)
def test_a_partition_counts_once_and_bytes_always(
    before: list[tuple[int, int]], after: list[tuple[int, int]]
):
    async def watch() -> None:
        progress = ReadProgress(Over())
        for number, received in before:
            progress.record(number, received)
        first = progress.get(0)
        # As after a worker is lost, or if an array is computed again.
        for number, received in after:
            progress.record(number, received)
        last = progress.get(first.reads)
        assert first.read == len({number for number, _ in before})
        assert last.read == len({number for number, _ in after})
        assert last.received - first.received == sum(received for _, received in after)
        await progress.close()

    asyncio.run(watch())


def test_it_can_be_closed_and_asked_for_again():
    async def watch() -> None:
        progress = ReadProgress(Over())
        await progress.close()
        for _ in range(2):
            assert progress.get(0).status == ""
            await progress.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(watch())


class Running(Over):
    """A feed of a request that does not end."""

    waits = 0

    async def end(self) -> None:
        self.waits += 1
        await asyncio.Event().wait()


async def until_it_is_not_polled() -> None:
    while asyncio.all_tasks() != {asyncio.current_task()}:
        await asyncio.sleep(0)


def test_one_wait_serves_everything_that_asks_in_time():
    class ShowingClock(FakeClock):  # type: ignore[misc]
        """The progress is shown again before each pause ends, for a minute."""

        async def sleep(self, seconds: float) -> None:
            await super().sleep(0.9 * seconds)
            if self.now < 60:
                progress.get(0)
            await super().sleep(0.1 * seconds)

    clock, feed = ShowingClock(), Running()
    progress = ReadProgress(feed, clock)

    async def watch() -> None:
        progress.get(0)
        await until_it_is_not_polled()

    asyncio.run(watch())
    assert 60 < clock.now < 70
    assert feed.waits == 1


def test_the_request_is_polled_no_longer_than_its_progress_is_asked_for():
    clock = FakeClock()

    async def watch() -> None:
        ReadProgress(Running(), clock).get(0)
        await until_it_is_not_polled()

    asyncio.run(watch())
    assert clock.now == 5.0
