"""Asking another process for files."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from feed_pair import Peers, ScriptedFeed, until_waiting  # type: ignore[import-not-found]

from servicex_layer._model import NoFile
from servicex_layer.errors import ServiceXLayerError
from servicex_layer.feed._subscriber import Subscriber


def test_each_answer_reaches_the_task_that_asked():
    async def ask() -> None:
        feed = ScriptedFeed()
        remote = Peers(feed).feed("a-worker")
        first, second = (asyncio.create_task(remote.get(number, 2)) for number in (0, 1))
        await until_waiting(feed, 0, 1)
        feed.release(1)
        assert await second == NoFile(1)
        assert not first.done()
        feed.release(0)
        assert await first == NoFile(0)

    asyncio.run(ask())


def test_a_cancelled_wait_ends_where_the_feed_is_held():
    async def ask() -> None:
        feed = ScriptedFeed()
        peers = Peers(feed)
        wait = asyncio.create_task(peers.feed("a-worker").get(0, 1))
        await until_waiting(feed, 0)
        wait.cancel()
        await until_waiting(feed)
        assert peers.publisher.is_idle
        with pytest.raises(asyncio.CancelledError):
            await wait

    asyncio.run(ask())


def test_an_answer_that_comes_after_its_wait_has_ended_is_ignored():
    async def ask() -> None:
        feed = ScriptedFeed()
        peers = Peers(feed)
        subscriber = peers.subscriber("a-worker")
        feed.release(0, 1)
        await peers.feed("a-worker").get(0, 2)
        ((_, late),) = peers.sent
        subscriber.answer(late["wait"], late["answer"], late["batch"])
        assert await peers.feed("a-worker").get(1, 2) == NoFile(1)

    asyncio.run(ask())


def test_all_waits_can_be_cancelled():
    async def ask() -> None:
        feed = ScriptedFeed()
        peers = Peers(feed)
        subscriber = peers.subscriber("a-worker")
        waits = [asyncio.create_task(peers.feed("a-worker").get(number, 2)) for number in (0, 1)]
        await until_waiting(feed, 0, 1)
        subscriber.cancel_all()
        assert [type(end) for end in await asyncio.gather(*waits, return_exceptions=True)] == [
            asyncio.CancelledError
        ] * 2
        await until_waiting(feed)

    asyncio.run(ask())


def test_a_stream_that_closes_ends_its_waits_with_an_error():
    async def ask() -> None:
        feed = ScriptedFeed()
        peers = Peers(feed)
        is_open = True
        peers.subscriber("a-child", lambda: is_open)
        wait = asyncio.create_task(peers.feed("a-child").get(0, 1))
        await until_waiting(feed, 0)
        is_open = False
        with pytest.raises(ServiceXLayerError, match=r"was closed during the wait.*Compute again"):
            await wait

    asyncio.run(ask())


def test_files_of_a_batch_are_known_without_asking_again():
    async def ask() -> None:
        feed = ScriptedFeed([NoFile(0), NoFile(1)])
        feed.release(0)
        peers = Peers(feed)
        remote = peers.feed("a-worker")
        assert remote.get_nowait(1, 2) is None
        await remote.get(0, 2)
        assert remote.get_nowait(1, 2) == NoFile(1)
        # They answer this question only.
        assert remote.get_nowait(1, 3) is None
        assert remote.get_nowait(1, 2, 0.5) is None
        assert peers.feed("a-worker", "another-request").get_nowait(1, 2) is None

    asyncio.run(ask())


def test_a_location_is_asked_for_with_the_url_that_did_not_work():
    location = asyncio.run(Peers(ScriptedFeed()).feed("a-worker").locate("a.root", "http://old"))
    assert location.url == "http://a-store/a.root?rejected=http://old"


def test_the_files_that_a_process_remembers_are_bounded():
    messages: list[dict[str, Any]] = []
    subscriber = Subscriber(messages.append)
    for number in range(100_000):
        subscriber.remember((number,), NoFile(number))
    assert len(subscriber.known) <= 50_000
    assert (99_999,) in subscriber.known
    assert (0,) not in subscriber.known
