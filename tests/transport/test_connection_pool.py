"""Many ranges of one result at a time; `test_transfer.py` has the store."""

from __future__ import annotations

import itertools

import dask.config
import pytest
from transport.test_byte_source import (  # type: ignore[import-not-found]
    BODY,
    HEAD,
    TAIL,
    WHAT,
    Answer,
    Range,
    Store,
    in_range,
    open_remote,
    store,
)

from servicex_layer.errors import MissingObjectError

__all__ = ["store"]

# Far enough from one another to stay apart, and less than a connection each.
MANY = [(start, start + 500) for start in range(100_000, 800_000, 3_500)]


def check_many(store: Store) -> None:
    body = open_remote(store)
    body.fetch(MANY)
    before = len(store.calls)
    assert all(body.read(start, stop) == BODY[start:stop] for start, stop in MANY)
    assert len(store.calls) == before


def test_many_ranges(store: Store):
    body = open_remote(store)
    body.fetch(MANY)
    calls = len(store.calls)
    assert body.transfer.requests == calls > 0.9 * len(MANY)
    assert body.transfer.received <= HEAD + TAIL + 1.1 * 500 * len(MANY)
    assert all(body.read(start, stop) == BODY[start:stop] for start, stop in MANY)
    assert len(store.calls) == calls
    assert body.transfer.retries == 0
    assert 1 < store.connections <= 64
    again = open_remote(store)
    connections = store.connections
    again.fetch(MANY[:3])
    assert store.connections == connections


@pytest.mark.parametrize("status", [404, 429, 503])
def test_faults_among_many_ranges(store: Store, status: int):
    calls = itertools.count(1)

    def answer(wanted: Range | None) -> Answer:
        return (status, b"", {}) if next(calls) % 5 == 0 else in_range(wanted)

    store.answer = answer
    body = open_remote(store)
    body.fetch(MANY)
    assert all(body.read(start, stop) == BODY[start:stop] for start, stop in MANY)
    assert body.transfer.requests == len(store.calls) > len(MANY) + 30


def test_store_that_closes_each_connection(store: Store):
    def answer(wanted: Range | None) -> Answer:
        status, body, given = in_range(wanted)
        return status, body, {**given, "Connection": "close"}

    store.answer = answer
    check_many(store)


@pytest.mark.parametrize("every", [1, 3])
def test_answers_that_are_cut(store: Store, every: int):
    """With a length of their own, answers are the last of their connection."""
    calls = itertools.count()

    def answer(wanted: Range | None) -> Answer:
        number = next(calls)
        status, body, given = in_range(wanted)
        if number < 2 or number % every or number > len(MANY):
            return status, body, given
        return status, body[:-1], {**given, "Content-Length": str(len(body))}

    store.answer = answer
    check_many(store)


def test_url_that_is_refused_in_the_middle(store: Store):
    """Not many more calls are made with it."""
    calls = itertools.count()
    store.answer = lambda wanted: (403, b"", {}) if next(calls) > 20 else in_range(wanted)
    with pytest.raises(MissingObjectError, match=f"{WHAT}.*403"):
        open_remote(store).fetch(MANY)
    assert len(store.calls) < len(MANY)


def test_store_without_ranges_sends_the_whole_once(store: Store):
    store.answer = lambda _: in_range(None)
    body = open_remote(store)
    assert body.transfer.received == len(BODY)
    assert body.read(500_000, 500_100) == BODY[500_000:500_100]


@pytest.mark.parametrize("name", ["http_proxy", "all_proxy"])
def test_proxy(store: Store, name: str, monkeypatch: pytest.MonkeyPatch):
    proxy, _, path = store.url.removeprefix("http://").partition("/")
    monkeypatch.setenv(name, proxy)
    monkeypatch.setenv("no_proxy", "")
    store.url = f"http://a-store.example/{path}"
    check_many(store)
    assert {path.partition("?")[0] for path, _, _ in store.calls} == {
        "http://a-store.example/R/a.root"
    }
    monkeypatch.setenv("no_proxy", "a-store.example")
    with (
        dask.config.set({"servicex-layer.retry-timeout": 0}),
        pytest.raises(MissingObjectError, match=r"NameResolutionError|gaierror"),
    ):
        open_remote(store)
