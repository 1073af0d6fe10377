from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicex_layer._model import TransformStatus
from servicex_layer.feed import _read_progress as watch_module
from servicex_layer.feed._read_progress import ReadProgress

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
        watch = ReadProgress(Over())
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
        watch = ReadProgress(Over())
        await watch.close()
        for _ in range(2):
            assert watch.look(0).status == ""
            await watch.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(watch())


def test_what_it_waits_for_is_not_begun_anew_while_somebody_looks(monkeypatch: pytest.MonkeyPatch):
    # Leases go by a clock of its own: however slow this machine is, none ends here.
    lease, now = 0.001, 0.0
    monkeypatch.setattr(watch_module, "_LEASE", lease)
    monkeypatch.setattr(watch_module, "time", SimpleNamespace(monotonic=lambda: now))

    class Slow(Over):
        begun = 0

        async def end(self) -> None:
            self.begun += 1
            await asyncio.Event().wait()

    async def watch() -> None:
        nonlocal now
        feed = Slow()
        watch = ReadProgress(feed)
        for _ in range(10):
            watch.look(0)
            now += lease / 2
            await asyncio.sleep(2 * lease)
        assert feed.begun == 1
        await watch.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(watch())
