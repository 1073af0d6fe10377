from __future__ import annotations

import itertools
import logging

import httpx
import pytest
from fake_clock import FakeClock  # type: ignore[import-not-found]

from servicex_layer._model import Backend
from servicex_layer.backend import RestClient
from servicex_layer.errors import BackendError, BackendUnreachableError

INFO = b'{"app-version": "2", "capabilities": ["one"]}'


class FlakyServer:
    """A backend that answers 503 while `is_down`."""

    def __init__(self):
        self.is_down = False
        self.calls = 0

    def __call__(self, *_):
        self.calls += 1
        return (503 if self.is_down else 200), INFO, {}


# Retries


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_transient_failure_is_retried(client_of, call, status):
    numbers = itertools.count()
    rest = client_of(lambda *_: (status if next(numbers) < 2 else 200, INFO, {}), clock=FakeClock())
    assert call(rest, RestClient.capabilities) == {"one"}
    assert next(numbers) == 3


def test_a_failure_that_lasts_is_an_error_after_the_retry_timeout(client_of, call):
    clock = FakeClock()
    rest = client_of(lambda *_: (503, b"", {}), retry_timeout=5.0, clock=clock)
    start = clock.now
    with pytest.raises(
        BackendUnreachableError,
        match=r"far at http.* since 20.* UTC: 503 Service Unavailable\. Tried \d+ times in 5\.0 s",
    ):
        call(rest, RestClient.capabilities)
    assert clock.now - start == pytest.approx(5.0)


def test_an_answer_that_cannot_be_decoded_is_retried_and_not_quoted(client_of, call):
    clock = FakeClock()
    answer = 200, b"a-secret that is no gzip", {"Content-Encoding": "gzip"}
    rest = client_of(lambda *_: answer, retry_timeout=5.0, clock=clock)
    with pytest.raises(
        BackendUnreachableError, match=r"cut or garbled \(DecodingError\)"
    ) as caught:
        call(rest, RestClient.capabilities)
    assert clock.pauses
    assert "a-secret" not in str(caught.value)


def test_without_a_retry_timeout_there_is_one_attempt(call):
    rest = RestClient(Backend("far", "http://127.0.0.1:1"), 0.0)
    with pytest.raises(BackendUnreachableError, match="Tried 1 times"):
        call(rest, RestClient.capabilities)


@pytest.mark.parametrize("status", [400, 409, 422, 500])
def test_an_error_with_a_message_is_raised_immediately(client_of, call, status):
    numbers = itertools.count()

    def answer(*_):
        next(numbers)
        return status, b'{"message": "no such code generator"}', {}

    with pytest.raises(BackendError, match=f"{status}: no such code generator"):
        call(client_of(answer), RestClient.capabilities)
    assert next(numbers) == 1


# Outages


def test_a_backend_that_has_answered_is_retried_until_it_is_back(client_of, call, caplog):
    server, clock = FlakyServer(), FakeClock()
    rest = client_of(server, retry_timeout=45.0, outage_timeout=7200.0, clock=clock)
    call(rest, RestClient.capabilities)
    server.is_down = True
    end = clock.now + 1800

    async def sleep_until_the_backend_is_back(seconds):
        clock.advance(seconds)
        server.is_down = clock.now < end

    clock.sleep = sleep_until_the_backend_is_back
    assert call(rest, RestClient.capabilities) == {"one"}
    assert clock.now >= end
    (warning,) = caplog.messages
    assert "far at http" in warning
    assert "503" in warning


def test_one_long_attempt_is_warned_of_as_well(client_of, call, caplog):
    server, clock = FlakyServer(), FakeClock()

    def answer_slowly(*arguments):
        if server.is_down:
            clock.advance(60.0)
            server.is_down = server.calls < 3
        return server(*arguments)

    rest = client_of(answer_slowly, retry_timeout=45.0, outage_timeout=7200.0, clock=clock)
    call(rest, RestClient.capabilities)
    server.is_down = True
    call(rest, RestClient.capabilities)
    assert len(caplog.messages) == 1


def test_a_short_outage_is_not_warned_of(client_of, call, caplog):
    server, clock = FlakyServer(), FakeClock()
    rest = client_of(server, retry_timeout=45.0, outage_timeout=7200.0, clock=clock)
    call(rest, RestClient.capabilities)

    async def sleep_once(seconds):
        clock.advance(seconds)
        server.is_down = False

    clock.sleep = sleep_once
    server.is_down = True
    call(rest, RestClient.capabilities)
    assert not caplog.messages


def test_an_outage_ends_in_an_error_when_the_last_answer_is_too_old(client_of, call):
    server, clock = FlakyServer(), FakeClock()
    rest = client_of(server, retry_timeout=45.0, outage_timeout=600.0, clock=clock)
    call(rest, RestClient.capabilities)
    answered = clock.now
    clock.advance(100.0)
    server.is_down = True
    with pytest.raises(BackendUnreachableError, match="since"):
        call(rest, RestClient.capabilities)
    assert clock.now - answered == pytest.approx(600.0)


def test_calls_that_queued_during_an_outage_are_tried_once(client_of, call):
    server, clock = FlakyServer(), FakeClock()
    rest = client_of(server, retry_timeout=45.0, clock=clock)
    server.is_down = True
    with pytest.raises(BackendUnreachableError):
        call(rest, RestClient.capabilities)
    before = server.calls
    with pytest.raises(BackendUnreachableError, match="Tried 1 times"):
        call(rest, RestClient.capabilities)
    assert server.calls == before + 1
    server.is_down = False
    assert call(rest, RestClient.capabilities) == {"one"}


def test_an_outage_without_a_timeout_is_waited_out(client_of, call):
    server, clock = FlakyServer(), FakeClock()
    rest = client_of(server, retry_timeout=45.0, outage_timeout=None, clock=clock)
    call(rest, RestClient.capabilities)
    server.is_down = True
    end = clock.now + 86400

    async def sleep_until_the_backend_is_back(seconds):
        clock.advance(100 * seconds)
        server.is_down = clock.now < end

    clock.sleep = sleep_until_the_backend_is_back
    assert call(rest, RestClient.capabilities) == {"one"}


def test_timeouts_can_be_changed(client_of, call):
    server, clock = FlakyServer(), FakeClock()
    rest = client_of(server, retry_timeout=5.0, clock=clock)
    rest.configure(50.0, 0.0)
    server.is_down = True
    start = clock.now
    with pytest.raises(BackendUnreachableError):
        call(rest, RestClient.capabilities)
    assert clock.now - start == pytest.approx(50.0)


# URLs


@pytest.mark.parametrize("url", ["no-scheme.example", "ftp://host.example", "http://[::1"])
def test_an_invalid_url_is_an_error(call, url):
    with pytest.raises(BackendUnreachableError, match="not a valid URL of a ServiceX backend"):
        call(RestClient(Backend("far", url), 10.0), RestClient.capabilities)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("token", [None, "refresh"])
def test_a_redirect_is_not_followed(client_of, serve, call, status, token):
    redirected = []

    def record_path(_method, path):
        redirected.append(path)
        return 200, INFO, {}

    target = serve(record_path)
    location = {"Location": f"{target}/servicex?signature=secret"}
    rest = client_of(lambda *_: (status, b"", location), token=token)
    with pytest.raises(BackendError, match=f"{status}.*{target}") as caught:
        call(rest, RestClient.capabilities)
    assert "secret" not in str(caught.value)
    assert not redirected


# Connections and logs


def test_connections_stay_open_while_any_context_uses_them(client, call):
    async def use_after_an_inner_context(rest):
        async with rest.connected():
            pass
        return await rest.capabilities()

    assert call(client, use_after_an_inner_context)
    assert call(client, use_after_an_inner_context)


def test_a_call_outside_of_the_context_is_an_error(client):
    with pytest.raises(RuntimeError, match=r"connected\(\)"):
        client.capabilities().send(None)


def test_calls_are_not_logged_but_the_users_own_are(client, service, call, caplog):
    def loggers():
        return {record.name.partition(".")[0] for record in caplog.records}

    with caplog.at_level(logging.DEBUG):
        call(client, RestClient.capabilities)
        assert not loggers() & {"httpx", "httpcore"}
        httpx.get(f"{service.url}/servicex")
        assert loggers() >= {"httpx", "httpcore"}
