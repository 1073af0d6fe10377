"""Many ranges of one object at a time."""

from __future__ import annotations

import itertools
import logging
import subprocess
import sys

import dask.config
import pytest
import urllib3
from transport.scripted_store import (  # type: ignore[import-not-found]
    BODY,
    DESCRIPTION,
    END_SIZE,
    SECRET,
    Answer,
    Range,
    ScriptedStore,
    check_reads,
    open_object,
    send_range,
)
from urllib3.connection import HTTPConnection

from servicex_layer.errors import MissingObjectError
from servicex_layer.transport._connection_pool import put_connection, take_connection

# Far enough from one another to stay apart, and more than there are connections.
MANY = [(start, start + 500) for start in range(100_000, 800_000, 3_500)]


def check_many(store: ScriptedStore) -> None:
    """Prefetch many ranges, and read them without another request."""
    body = open_object(store)
    body.fetch(MANY)
    calls = len(store.calls)
    assert all(body.read(start, stop) == BODY[start:stop] for start, stop in MANY)
    assert len(store.calls) == calls


def test_many_ranges_share_the_connections(store: ScriptedStore):
    body = open_object(store)
    body.fetch(MANY)
    calls = len(store.calls)
    assert body.transfer.requests == calls > 0.9 * len(MANY)
    assert body.transfer.received <= 2 * END_SIZE + 1.1 * 500 * len(MANY)
    assert all(body.read(start, stop) == BODY[start:stop] for start, stop in MANY)
    assert len(store.calls) == calls
    assert body.transfer.retries == 0
    assert 1 < store.connections <= 64
    other = open_object(store)
    connections = store.connections
    other.fetch(MANY[:3])
    assert store.connections == connections


def test_connections_are_kept(store: ScriptedStore):
    for _ in range(20):
        body = open_object(store)
        body.fetch([(start, start + 1000) for start in range(200_000, 800_000, 100_000)])
    assert len(store.calls) == 160
    assert store.connections <= 20


@pytest.mark.parametrize("status", [404, 429, 503])
def test_failures_among_many_ranges_are_retried(store: ScriptedStore, status: int):
    calls = itertools.count(1)

    def answer(byte_range: Range | None) -> Answer:
        return (status, b"", {}) if next(calls) % 5 == 0 else send_range(byte_range)

    store.answer = answer
    body = open_object(store)
    body.fetch(MANY)
    assert all(body.read(start, stop) == BODY[start:stop] for start, stop in MANY)
    assert body.transfer.requests == len(store.calls) > len(MANY) + 30


def test_store_that_closes_each_connection_is_read(store: ScriptedStore):
    def answer(byte_range: Range | None) -> Answer:
        status, body, headers = send_range(byte_range)
        return status, body, {**headers, "Connection": "close"}

    store.answer = answer
    check_many(store)


@pytest.mark.parametrize("every", [1, 3])
def test_answers_that_are_cut_off_are_fetched_again(store: ScriptedStore, every: int):
    calls = itertools.count()

    def answer(byte_range: Range | None) -> Answer:
        number = next(calls)
        status, body, headers = send_range(byte_range)
        if number < 2 or number % every or number > len(MANY):
            return status, body, headers
        return status, body[:-1], {**headers, "Content-Length": str(len(body))}

    store.answer = answer
    check_many(store)


def test_url_that_is_rejected_midway_is_hardly_used_again(store: ScriptedStore):
    calls = itertools.count()
    store.answer = lambda asked: (403, b"", {}) if next(calls) > 20 else send_range(asked)
    with pytest.raises(MissingObjectError, match=f"{DESCRIPTION}.*403"):
        open_object(store).fetch(MANY)
    assert len(store.calls) < len(MANY)


def test_store_without_ranges_sends_the_whole_object_once(store: ScriptedStore):
    store.answer = lambda _: send_range(None)
    body = open_object(store)
    assert body.transfer.received == len(BODY)
    assert body.read(500_000, 500_100) == BODY[500_000:500_100]


def test_redirects_are_followed(store: ScriptedStore):
    store.script = [(307, b"", {"Location": f"{store.url}&elsewhere"})] * 4
    check_reads(open_object(store))


@pytest.mark.parametrize("variable", ["http_proxy", "all_proxy"])
def test_proxy_of_the_environment_is_used(
    store: ScriptedStore, variable: str, monkeypatch: pytest.MonkeyPatch
):
    proxy, _, path = store.url.removeprefix("http://").partition("/")
    monkeypatch.setenv(variable, proxy)
    monkeypatch.setenv("no_proxy", "")
    store.url = f"http://a-store.example/{path}"
    check_many(store)
    assert {call.path.partition("?")[0] for call in store.calls} == {
        "http://a-store.example/R/a.root"
    }
    monkeypatch.setenv("no_proxy", "a-store.example")
    with (
        dask.config.set({"servicex-layer.retry-timeout": 0}),
        pytest.raises(MissingObjectError, match=r"NameResolutionError|gaierror"),
    ):
        open_object(store)


def test_no_log_record_holds_a_signature(store: ScriptedStore, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    store.script = [(307, b"", {"Location": store.url}), (503, b"", {}), (206, b"", {})]
    check_reads(open_object(store))
    logging.getLogger("urllib3.connectionpool").debug("by another caller")
    assert SECRET not in caplog.text
    assert "by another caller" in caplog.text


# In a process of its own: this one has threads, and a fork of it could wait for their locks.
FORKING = """
import os, sys
from datetime import UTC, datetime
from servicex_layer._model import Location, ResultFile
from servicex_layer.transport import ResultSource
from servicex_layer.transport._byte_source import ObjectBytes

url, size = sys.argv[1], int(sys.argv[2])
file = ResultFile(1, datetime.now(UTC), "a.root", "in.root", 1, size)

def read():
    body = ObjectBytes(ResultSource(file, lambda _: Location(url), "a result"), Location(url))
    return bytes(body.read(0, size))

first = read()
child = os.fork()
same = all(read() == first for _ in range(20))
if child == 0:
    os._exit(not same)
_, status = os.waitpid(child, 0)
sys.exit(f"parent: {same}, child: {status}" if not same or status else 0)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_forked_process_has_connections_of_its_own(store: ScriptedStore):
    command = [sys.executable, "-c", FORKING, store.url, str(len(BODY))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    assert (done.returncode, done.stderr) == (0, "")
    assert store.connections == 2


# Private names of urllib3


def test_pool_lends_a_connection_and_takes_it_back(store: ScriptedStore):
    with urllib3.PoolManager() as manager:
        pool = manager.connection_from_url(store.url)
        first = take_connection(pool)
        assert isinstance(first, HTTPConnection)
        first.connect()
        assert take_connection(pool) is not first
        put_connection(pool, first)
        assert take_connection(pool) is first
        assert not first.is_closed
        first.close()
