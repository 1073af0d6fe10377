"""The rule of invariant 1: each finished file in exactly one partition, whatever is seen when.

The server here is a model of one, so that hypothesis can choose what becomes visible at which
call; `test_exactness.py` shows the same with a real one.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from fake_clock import FakeClock  # type: ignore[import-not-found]
from hypothesis import given, settings
from hypothesis import strategies as st

from servicex_layer._config import Polling
from servicex_layer._model import Backend, ResultFile, ResultRow, TransformStatus
from servicex_layer.errors import (
    CompletionOrderError,
    FailedFilesError,
    PartitionCountError,
    ProtocolError,
    RepeatedInputsWarning,
    WaitTimeoutError,
)
from servicex_layer.feed._feed import RequestFeed

EPOCH = datetime(2026, 11, 22, 19, 45, tzinfo=UTC)


@dataclass(frozen=True)
class Scripted:
    """A row, and when it is what: in ticks of the server's clock, of which each call is one."""

    created: int
    late: int
    lag: int
    success: bool
    twin: int | None = None
    """The row whose object it has too, as after a lost transformer."""

    @property
    def visible(self):
        return self.created + self.late

    @property
    def counted(self):
        return self.visible + self.lag


class ModelServer:
    """What a database behind a ServiceX server shows of a script."""

    backend = Backend("a-model", "http://127.0.0.1")

    def __init__(self, script, shuffle):
        self.script = script
        self.shuffle = shuffle
        self.now = 0
        self.ticked = False
        self.rows_sent = 0
        self.asked = 0
        self.listed = 0
        # Numbers grow with insertion and have holes.
        order = sorted(range(len(script)), key=lambda i: script[i].visible)
        self.ids = {i: 3 * place + 1 for place, i in enumerate(order)}

    @asynccontextmanager
    async def connected(self):
        yield self

    async def capabilities(self):
        return {"poll_local_transformation_results", "generate_file_urls"}

    async def status(self, request_id):
        await asyncio.sleep(0)
        self.asked += 1
        self.now += 1
        self.ticked = True
        counted = [row for row in self.script if row.counted <= self.now]
        return TransformStatus(
            request_id,
            "Complete" if len(counted) == len(self.script) else "Running",
            files=sum(row.twin is None for row in self.script),
            completed=sum(row.success for row in counted),
            failed=sum(not row.success for row in counted),
        )

    async def results(self, request_id, later_than=None):
        assert request_id == "a-request"
        await asyncio.sleep(0)
        self.listed += 1
        # Time goes on from one look to the next: not every look asks for the status.
        self.now += not self.ticked
        self.ticked = False
        rows = []
        for i, row in enumerate(self.script):
            created_at = EPOCH + timedelta(seconds=row.created)
            if row.visible <= self.now and (later_than is None or created_at > later_than):
                name = f"{i if row.twin is None else row.twin}.root" if row.success else "none"
                file = ResultFile(self.ids[i], created_at, name, f"in{i}.root", 1, 1)
                rows.append(ResultRow(file, row.success))
        self.rows_sent += len(rows)
        self.shuffle(rows)
        return rows


def scripts(max_late):
    row = st.builds(
        Scripted,
        created=st.integers(0, 8),
        late=st.integers(0, max_late),
        lag=st.integers(0, 3),
        success=st.sampled_from([True, True, True, False]),
    )
    return st.lists(row, min_size=1, max_size=12)


def a_feed(server, *, order=b"", warn=None, clock=None, **settings):
    defaults = Polling(0.0, 0.0, 0.0, 600.0, None, 0.0)
    return RequestFeed(
        server,
        "a-request",
        replace(defaults, **settings),
        order=order,
        warn=warn or ignore,
        clock=clock or FakeClock(),
    )


def ignore(*_):
    pass


def expected(script):
    return sorted(f"{i}.root" for i, row in enumerate(script) if row.success)


async def partitions(feed, count, order, cancelled=()):
    """Ask for every file, in some order, as tasks do; some are cancelled and start anew."""
    tasks = {number: asyncio.create_task(feed.get(number, count)) for number in order}
    for number in cancelled:
        await asyncio.sleep(0)
        tasks[number].cancel()
        await asyncio.wait([tasks[number]])
        tasks[number] = asyncio.create_task(feed.get(number, count))
    files = await asyncio.gather(*(tasks[number] for number in range(count)))
    return [file.name if isinstance(file, ResultFile) else None for file in files]


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_every_file_is_in_exactly_one_partition_and_stays_there(data):
    script = data.draw(scripts(max_late=10).filter(expected))
    count = len(script)
    order = data.draw(st.permutations(range(count)))
    cancelled = data.draw(st.lists(st.sampled_from(range(count)), max_size=4, unique=True))
    overlap = data.draw(st.sampled_from([0.0, 2.0]))

    async def observe():
        server = ModelServer(script, random.Random(data.draw(st.integers(0, 1000))).shuffle)
        feed = a_feed(server, overlap=overlap)
        first = await partitions(feed, count, order, cancelled)
        again = await partitions(feed, count, order)
        assert again == first
        return first

    found = asyncio.run(observe())
    files = [name for name in found if name is not None]
    assert sorted(files) == expected(script)
    assert found == files + [None] * (count - len(files)), "empty partitions are the last"


def test_if_every_file_failed_all_partitions_are_the_error():
    script = [Scripted(created=i, late=0, lag=0, success=False) for i in range(2)]

    async def observe():
        feed = a_feed(ModelServer(script, ignore))
        for number in range(2):
            with pytest.raises(FailedFilesError, match=r"all 2 of 2 files failed: in0\.root"):
                await feed.get(number, 2)

    asyncio.run(observe())


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_a_list_that_begins_with_the_order_of_another_one_numbers_alike(data):
    script = data.draw(scripts(max_late=10).filter(expected))
    count = len(script)
    known = data.draw(st.integers(0, count))

    async def observe():
        shuffle = random.Random(data.draw(st.integers(0, 1000))).shuffle
        first = a_feed(ModelServer(script, shuffle))
        files = await partitions(first, count, range(count))
        # Another server's clock: rows are seen together that the first list saw apart.
        server = ModelServer(script, shuffle)
        server.now = data.draw(st.integers(0, 20))
        second = a_feed(server, order=first.order[: 16 * known])
        again = await partitions(second, count, range(count))
        known_files = sum(name is not None for name in files[:known])
        assert again[:known_files] == files[:known_files]
        assert sorted(map(str, again)) == sorted(map(str, files))

    asyncio.run(observe())


def test_a_file_of_the_order_that_never_appears_is_an_error():
    script = [Scripted(created=i, late=0, lag=0, success=True) for i in range(3)]

    async def observe():
        first = a_feed(ModelServer(script, ignore))
        await partitions(first, 3, range(3))
        other = a_feed(ModelServer(script[:2], ignore), order=first.order)
        assert (await other.get(1, 3)).name == "1.root"
        with pytest.raises(CompletionOrderError, match="has as partition 2"):
            await other.get(2, 3)

    asyncio.run(observe())


def test_a_file_that_was_transformed_twice_is_in_one_partition():
    script = [
        Scripted(created=1, late=0, lag=0, success=True),
        Scripted(created=2, late=0, lag=0, success=True, twin=0),
        Scripted(created=3, late=0, lag=0, success=True),
    ]

    async def observe():
        return await partitions(a_feed(ModelServer(script, list.reverse)), 3, range(3))

    assert asyncio.run(observe()) == ["0.root", "2.root", None]


def _hide_last(rows):
    rows[:] = [row for row in rows if row.file.name != "2.root"]


def test_a_list_that_is_shorter_than_the_counters_say_is_an_error_not_an_empty_partition():
    script = [Scripted(created=i, late=0, lag=0, success=True) for i in range(3)]

    async def observe():
        feed = a_feed(ModelServer(script, _hide_last))
        with pytest.raises(ProtocolError, match=r"counts 3 .* lists 2"):
            await partitions(feed, 3, range(3))

    asyncio.run(observe())


def test_two_files_that_have_one_object_are_an_error_as_one_of_them_is_lost():
    script = [Scripted(created=i, late=0, lag=0, success=True) for i in range(3)]

    def rename(rows):
        rows[:] = [
            replace(row, file=replace(row.file, name="0.root")) if row.file.id == 4 else row
            for row in rows
        ]

    async def observe():
        with pytest.raises(ProtocolError, match=r"3 of 3 files finished.* lists 2 results"):
            await partitions(a_feed(ModelServer(script, rename)), 3, range(3))

    asyncio.run(observe())


@pytest.mark.parametrize("late", [0, 1, 10])
def test_rows_on_the_wire_grow_with_the_files_not_with_the_polls(late):
    count = 2000
    script = [
        Scripted(created=i // 20, late=late if i % 7 == 0 else 0, lag=1, success=True)
        for i in range(count)
    ]

    async def observe():
        server = ModelServer(script, lambda rows: rows.reverse())
        feed = a_feed(server, overlap=2.0)
        await partitions(feed, count, range(count))
        return server

    server = asyncio.run(observe())
    assert server.now > 90, "it was polled about once a tick"
    assert server.asked < 45, "few looks asked for the status"
    assert server.rows_sent < (18 if late == 10 else 4) * count


def test_polling_backs_off_with_time_but_not_beyond_the_longest_interval():
    clock = FakeClock()
    # One more file with each poll.
    script = [Scripted(created=i, late=0, lag=0, success=True) for i in range(400)]

    async def observe():
        server = ModelServer(script, ignore)
        feed = a_feed(server, clock=clock, overlap=2.0, interval=1.0, interval_max=10.0)
        await partitions(feed, len(script), range(len(script)))

    asyncio.run(observe())
    pauses = [round(pause, 6) for pause in clock.pauses if pause]
    assert pauses == sorted(pauses)
    assert pauses[:50] == [1.0] * 50
    assert pauses[-1] == 10.0
    assert all(
        pause <= max(1.0, 0.02 * age + 1e-6)
        for pause, age in zip(pauses, itertools.accumulate(pauses, initial=0.0), strict=False)
    )


class SleepingMachine(FakeClock):  # type: ignore[misc]
    """The clock of a machine that sleeps three hours in each of its pauses."""

    async def sleep(self, seconds):
        await super().sleep(seconds)
        self.now += 3 * 3600


NOTHING_FOR_LONG = [Scripted(created=1000, late=0, lag=0, success=True)]


def test_the_time_for_which_the_machine_slept_is_no_timeout():
    async def observe():
        feed = a_feed(
            ModelServer(NOTHING_FOR_LONG, ignore),
            clock=SleepingMachine(),
            interval=1.0,
            interval_max=1.0,
            timeout=7200.0,
        )
        return (await feed.get(0, 1)).name

    assert asyncio.run(observe()) == "0.root"


def test_the_time_that_was_waited_is_a_timeout():
    clock = FakeClock()

    async def observe():
        feed = a_feed(
            ModelServer(NOTHING_FOR_LONG, ignore),
            clock=clock,
            interval=1.0,
            interval_max=10.0,
            timeout=300.0,
        )
        with pytest.raises(WaitTimeoutError, match=r"nothing has happened for 30\d s"):
            await feed.get(0, 1)

    asyncio.run(observe())
    assert 300 <= sum(clock.pauses) < 312


def test_a_row_that_turns_from_failure_to_success_is_read_and_not_warned_of():
    class Retrying(ModelServer):
        def row(self, i):
            failed = i == 0 and self.now < 8
            return replace(self.script[i], success=not failed)

        async def status(self, request_id):
            status = await super().status(request_id)
            failed = sum(
                not self.row(i).success
                for i, row in enumerate(self.script)
                if row.counted <= self.now
            )
            return replace(status, completed=status.completed - failed, failed=failed)

        async def results(self, request_id, later_than=None):
            script = self.script
            self.script = [self.row(i) for i in range(len(script))]
            try:
                return await super().results(request_id, later_than)
            finally:
                self.script = script

    script = [Scripted(created=i, late=0, lag=0, success=True) for i in (1, 30, 60)]
    warned = []

    async def observe():
        feed = a_feed(Retrying(script, ignore), warn=lambda *warning: warned.append(warning))
        return await partitions(feed, 3, range(3))

    assert sorted(asyncio.run(observe())) == expected(script)
    assert not warned


def test_an_input_that_is_listed_twice_leaves_an_empty_partition_and_is_warned_of():
    class Repeating(ModelServer):
        async def status(self, request_id):
            return replace(await super().status(request_id), files=len(self.script))

        async def results(self, request_id, later_than=None):
            rows = await super().results(request_id, later_than)
            same = {"input": "in.root", "name": "0.root"}
            return [
                replace(row, file=replace(row.file, **same)) if row.file.name != "2.root" else row
                for row in rows
            ]

    script = [Scripted(created=i, late=0, lag=0, success=True) for i in range(3)]
    warned = []

    async def observe():
        feed = a_feed(Repeating(script, ignore), warn=lambda *warning: warned.append(warning))
        return await partitions(feed, 3, range(3))

    assert asyncio.run(observe()) == ["0.root", "2.root", None]
    [(text, category)] = warned
    assert category is RepeatedInputsWarning
    assert "a-request: its dataset lists 1 of 3 files more than once: in.root" in text


def test_a_finished_file_that_fails_later_is_an_error():
    class Withdrawing(ModelServer):
        async def results(self, request_id, later_than=None):
            rows = await super().results(request_id, later_than and EPOCH)
            return [replace(row, success=row.success and self.now < 20) for row in rows]

    script = [Scripted(created=i, late=0, lag=0, success=True) for i in (1, 30)]

    async def observe():
        feed = a_feed(Withdrawing(script, ignore))
        assert (await feed.get(0, 2)).name == "0.root"
        with pytest.raises(ProtocolError, match=r"1 of its files as finished.*: 0\.root"):
            await feed.get(1, 2)

    asyncio.run(observe())


def test_a_list_is_not_asked_for_when_the_counters_tell_no_news():
    script = [Scripted(created=100, late=0, lag=0, success=True)]

    async def observe():
        server = ModelServer(script, ignore)
        await partitions(a_feed(server), 1, [0])
        return server

    server = asyncio.run(observe())
    assert server.asked == 100
    assert server.listed == 1


def test_a_row_that_is_never_counted_hides_no_other():
    # As where a backend fails between the row and its counter, and drops the second report.
    never = 10**9
    script = [
        Scripted(created=1, late=0, lag=0, success=True),
        Scripted(created=1, late=0, lag=0, success=True),
        Scripted(created=2, late=0, lag=never, success=True),
        Scripted(created=30, late=0, lag=0, success=True),
    ]

    async def observe():
        async with asyncio.timeout(20):
            return await partitions(a_feed(ModelServer(script, ignore)), 4, range(4))

    assert sorted(asyncio.run(observe())) == expected(script)


def test_more_files_than_partitions_are_an_error_also_where_the_lookup_finds_them_late():
    script = [Scripted(created=1, late=0, lag=0, success=True)] * 2
    script += [Scripted(created=30, late=0, lag=0, success=True)] * 2

    class StillLooking(ModelServer):
        async def status(self, request_id):
            status = await super().status(request_id)
            return status if self.now > 20 else replace(status, status="Lookup", files=2)

    async def observe():
        feed = a_feed(StillLooking(script, ignore))
        assert (await feed.get(0, 2)).name == "0.root"
        with pytest.raises(PartitionCountError, match="2 partitions"):
            await feed.get(1, 2)

    asyncio.run(observe())
