from __future__ import annotations

import contextvars
import logging
from collections.abc import Generator

import httpx
import pytest
import urllib3

from servicex_layer.net import unlogged


@pytest.fixture
def url(serve) -> str:
    address: str = serve(lambda *_: (200, b"", {}))
    return f"{address}/a?signature=secret"


def loggers(caplog: pytest.LogCaptureFixture) -> set[str]:
    return {record.name.partition(".")[0] for record in caplog.records}


def call(url: str) -> None:
    httpx.get(url)
    with urllib3.PoolManager() as pool:
        pool.request("GET", url)


def test_calls_are_muted_within_the_context_only(url, caplog):
    with caplog.at_level(logging.DEBUG):
        with unlogged():
            call(url)
        assert not loggers(caplog) & {"httpcore", "httpx", "urllib3"}
        call(url)
        assert loggers(caplog) >= {"httpcore", "httpx", "urllib3"}


def test_calls_of_another_thread_are_still_logged(url, caplog, in_thread):
    with caplog.at_level(logging.DEBUG), unlogged():
        in_thread(lambda: call(url))()
    assert loggers(caplog) >= {"httpcore", "httpx", "urllib3"}


def test_contexts_nest(url, caplog):
    with caplog.at_level(logging.DEBUG), unlogged():
        with unlogged():
            pass
        call(url)
    assert not loggers(caplog) & {"httpcore", "httpx", "urllib3"}


def test_a_generator_can_be_closed_in_another_context():
    def numbers() -> Generator[int]:
        with unlogged():
            yield 1

    generator = numbers()
    contextvars.copy_context().run(next, generator)
    contextvars.copy_context().run(generator.close)
