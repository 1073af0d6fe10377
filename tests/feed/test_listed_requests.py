"""Feeds of backends of 2024, whose only list of finished files is the bucket."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scripted_bucket import ScriptedBucket  # type: ignore[import-not-found]

from servicex_layer._config import Polling
from servicex_layer._model import Backend
from servicex_layer.backend import RestClient
from servicex_layer.errors import ProtocolError
from servicex_layer.feed._feed import RequestFeed


@pytest.fixture
def feed_of(serve):
    """Make the feed of a scripted store."""

    def feed_of(script, *, retry_timeout=0.0):
        rest = RestClient(Backend("scripted", script.serve(serve)), retry_timeout)
        polling = Polling(0.0, 0.0, 0.0, 600.0, None, retry_timeout)
        return RequestFeed(rest, script.request_id, polling)

    return feed_of


async def names_of_all(feed, count):
    files = await asyncio.gather(*(feed.get(number, count) for number in range(count)))
    return [file.name for file in files]


@pytest.mark.parametrize("lead", [0, 70], ids=["uploaded-first", "counted-first"])
def test_objects_that_appear_while_pages_are_listed_are_numbered_once(feed_of, lead):
    names = [f"{number:04}.root" for number in range(2500)]
    random.Random(5).shuffle(names)
    script = ScriptedBucket(names, at_a_time=40, lead=lead)
    numbered = asyncio.run(names_of_all(feed_of(script), len(names)))
    assert sorted(numbered) == sorted(names)
    assert script.calls["page"] > 30, "it was listed page by page, while it was filled"


class TimedStore(ScriptedBucket):  # type: ignore[misc]
    """A store with three times per object: the calls that show and count it, and its second."""

    def __init__(self, times):
        super().__init__([f"{number}.root" for number in range(len(times))], at_a_time=0)
        self.times = dict(zip(self.names, times, strict=True))
        now = datetime.now(UTC)
        for name, (_appears, _counted, second) in self.times.items():
            modified = now + timedelta(seconds=second)
            self.modified_of[name] = modified.strftime("%Y-%m-%dT%H:%M:%S.000Z")
        self.call = 0

    def answer(self, method, target):
        self.call += 1
        self.lost = frozenset(
            name for name, (appears, *_) in self.times.items() if appears > self.call
        )
        self.visible = len(self.names)
        return super().answer(method, target)

    def status(self):
        completed = sum(counted <= self.call for _appears, counted, _second in self.times.values())
        is_complete = completed == len(self.names)
        self.status_changes["files-completed"] = completed
        self.status_changes["status"] = "Complete" if is_complete else "Running"
        return super().status()


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    times=st.lists(
        st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(0, 2)),
        min_size=1,
        max_size=8,
    ),
    randomness=st.randoms(use_true_random=False),
)
def test_each_object_is_in_one_partition_whenever_it_appears_and_is_counted(
    feed_of, times, randomness
):
    order = list(range(len(times)))
    randomness.shuffle(order)

    async def get_twice():
        feed = feed_of(TimedStore(times), retry_timeout=20.0)
        files = await asyncio.gather(*(feed.get(number, len(times)) for number in order))
        again = await asyncio.gather(*(feed.get(number, len(times)) for number in order))
        assert again == files
        return [file.name for file in files]

    assert sorted(asyncio.run(get_twice())) == sorted(TimedStore(times).names)


def test_an_object_that_is_written_again_keeps_its_number(feed_of):
    script = ScriptedBucket(["a.root", "b.root"], at_a_time=1)

    async def write_again():
        feed = feed_of(script)
        first = (await feed.get(0, 2)).name
        script.modified_of[first] = "2026-11-22T19:50:00.000Z"
        return [first, (await feed.get(1, 2)).name, (await feed.get(0, 2)).name]

    assert asyncio.run(write_again()) == ["a.root", "b.root", "a.root"]


def test_a_result_that_never_appears_is_an_error_not_an_empty_partition(feed_of):
    script = ScriptedBucket(["a.root", "b.root"], at_a_time=2, lost=["b.root"])
    with pytest.raises(ProtocolError, match=r"2 finished .* its store has 1"):
        asyncio.run(names_of_all(feed_of(script), 2))


@pytest.mark.filterwarnings("ignore:.*1 of 2 files failed")
def test_an_object_that_is_never_counted_is_an_error(feed_of):
    script = ScriptedBucket(["a.root", "b.root"], at_a_time=2)
    script.status_changes = {"status": "Complete", "files-completed": 1, "files-failed": 1}

    async def get_both():
        feed = feed_of(script)
        assert (await feed.get(0, 2)).name == "a.root"
        await feed.get(1, 2)

    with pytest.raises(ProtocolError, match=r"1 finished and 1 failed .* its store has 2"):
        asyncio.run(get_both())
