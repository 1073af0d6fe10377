"""Answering other processes: what each is sent, and when its waits end."""

from __future__ import annotations

import asyncio

import pytest
from feed_pair import Peers, ScriptedFeed, until_waiting  # type: ignore[import-not-found]

from servicex_layer._model import NoFile
from servicex_layer.errors import ServiceXLayerError, UnknownRequestError
from servicex_layer.feed._packing import unpack_batch

FILES = [NoFile(number) for number in range(3)]


async def get_all(peers: Peers, peer: str) -> None:
    remote = peers.feed(peer)
    for number in range(3):
        await remote.get(number, 3)


def batch_sizes(peers: Peers) -> list[tuple[str, int]]:
    return [(peer, len(unpack_batch(message["batch"]))) for peer, message in peers.sent]


def test_a_batch_is_sent_once_to_each_peer():
    async def ask() -> list[tuple[str, int]]:
        feed = ScriptedFeed(FILES)
        feed.release(0, 1, 2)
        peers = Peers(feed)
        await get_all(peers, "a-worker")
        await get_all(peers, "another-worker")
        return batch_sizes(peers)

    assert asyncio.run(ask()) == [
        ("a-worker", 3),
        ("a-worker", 0),
        ("a-worker", 0),
        ("another-worker", 3),
        ("another-worker", 0),
        ("another-worker", 0),
    ]


def test_a_batch_is_sent_again_after_its_request_was_forgotten():
    async def ask() -> list[tuple[str, int]]:
        feed = ScriptedFeed(FILES)
        feed.release(0, 1, 2)
        peers = Peers(feed)
        for forget in ("another-request", "a-request", "a-request"):
            await peers.feed("a-worker").get(0, 3)
            peers.publisher.forget(forget)
        return batch_sizes(peers)

    assert [size for _, size in asyncio.run(ask())] == [3, 0, 3]


def test_a_batch_is_sent_again_for_another_question():
    async def ask() -> list[tuple[str, int]]:
        feed = ScriptedFeed(FILES)
        feed.release(0)
        peers = Peers(feed)
        for max_failed in (1.0, 0.5, 1.0):
            await peers.feed("a-worker").get(0, 3, max_failed)
        return batch_sizes(peers)

    assert [size for _, size in asyncio.run(ask())] == [3, 3, 0]


def test_the_waits_of_a_peer_that_is_gone_end_and_no_others():
    async def ask() -> None:
        feed = ScriptedFeed()
        peers = Peers(feed)
        gone = [asyncio.create_task(peers.feed("gone").get(number, 3)) for number in (0, 1)]
        stays = asyncio.create_task(peers.feed("stays").get(2, 3))
        await until_waiting(feed, 0, 1, 2)
        peers.publisher.remove("gone")
        await until_waiting(feed, 2)
        assert not peers.publisher.is_idle
        feed.release(2)
        assert await stays == NoFile(2)
        assert peers.publisher.is_idle
        assert [peer for peer, _ in peers.sent] == ["stays"]
        for task in gone:
            task.cancel()

    asyncio.run(ask())


def test_all_waits_end_when_it_is_closed():
    async def ask() -> None:
        feed = ScriptedFeed()
        peers = Peers(feed)
        wait = asyncio.create_task(peers.feed("a-worker").get(0, 3))
        await until_waiting(feed, 0)
        await peers.publisher.close()
        assert not feed.waiting
        wait.cancel()

    asyncio.run(ask())


def test_an_error_of_this_package_is_raised_where_the_file_was_asked_for():
    feed = ScriptedFeed()
    feed.error = UnknownRequestError("no such request")
    with pytest.raises(UnknownRequestError, match="no such request"):
        asyncio.run(Peers(feed).feed("a-worker").get(0, 3))


def test_any_other_error_is_logged_and_sent_as_one_that_survives_a_pickle(
    caplog: pytest.LogCaptureFixture,
):
    class LocalError(Exception):
        """No process but this one can unpickle it."""

    feed = ScriptedFeed()
    feed.error = LocalError("broken")
    with pytest.raises(ServiceXLayerError, match=r"a-request failed: LocalError\('broken'\)"):
        asyncio.run(Peers(feed).feed("a-worker").get(0, 3))
    assert "Polling request a-request failed" in caplog.text
