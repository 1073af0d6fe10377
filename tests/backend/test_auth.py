from __future__ import annotations

import asyncio
import json
import threading

import httpx
import pytest
from fake_clock import FakeClock  # type: ignore[import-not-found]

from servicex_layer._config import find_backend
from servicex_layer._model import Backend
from servicex_layer.backend import RestClient, bearer_token
from servicex_layer.errors import AuthorizationError, BackendError
from servicex_layer.local import LocalServiceX


@pytest.fixture
def request_id(service):
    return service.submit([], tree="events", manual=True)


@pytest.fixture
def access_token(service):
    refresh_token = find_backend(config_path=service.servicex_yaml).token
    answer = httpx.post(
        f"{service.url}/token/refresh", headers={"Authorization": f"Bearer {refresh_token}"}
    )
    service.traffic.reset()
    return answer.json()["access_token"]


async def statuses(rest, request_id, count=1):
    """Ask for a status several times at once; return statuses and errors."""
    async with rest.connected():
        calls = (rest.status(request_id) for _ in range(count))
        return await asyncio.gather(*calls, return_exceptions=True)


class TokenServer:
    """A backend that rejects the first tokens that it issues."""

    def __init__(self, rejected, body=b"{}", status=401):
        self.rejected = rejected
        self.body = body
        self.status = status
        self.paths = []
        self.issued = 0
        self.lock = threading.Lock()

    def __call__(self, _method, path):
        with self.lock:
            self.paths.append(path)
            if path == "/token/refresh":
                self.issued += 1
                return 200, json.dumps({"access_token": f"{self.issued}"}).encode(), {}
            if self.issued <= self.rejected:
                return self.status, self.body, {}
            return 200, b"{}", {}


# The refresh token


def test_one_access_token_serves_many_calls(client, service, request_id):
    assert len(asyncio.run(statuses(client, request_id, 20))) == 20
    assert service.traffic.calls["token"] == 1


def test_an_access_token_that_expires_soon_is_renewed(call):
    with LocalServiceX(authentication=True, token_lifetime=30) as service:
        rest = RestClient(find_backend(config_path=service.servicex_yaml), 10.0)
        for _ in range(3):
            call(rest, RestClient.capabilities)
        assert service.traffic.calls["token"] == 3


def test_a_rejected_access_token_is_renewed_once(client_of, call):
    server = TokenServer(rejected=1)
    call(client_of(server, token="refresh"), RestClient.capabilities)
    assert server.paths == ["/token/refresh", "/servicex", "/token/refresh", "/servicex"]


def test_a_renewed_token_that_is_rejected_as_well_is_an_error(client_of, call):
    server = TokenServer(rejected=2, body=b'{"message": "no"}')
    with pytest.raises(AuthorizationError, match=r"does not allow GET /servicex .*401: no"):
        call(client_of(server, token="refresh"), RestClient.capabilities)
    assert server.paths == ["/token/refresh", "/servicex", "/token/refresh", "/servicex"]


def test_a_malformed_token_that_is_answered_with_422_is_renewed_once(client_of, call):
    server = TokenServer(rejected=1, body=b'{"msg": "Not enough segments"}', status=422)
    call(client_of(server, token="refresh"), RestClient.capabilities)
    assert server.paths == ["/token/refresh", "/servicex", "/token/refresh", "/servicex"]


def test_a_malformed_token_that_stays_rejected_is_an_error_with_the_servers_text(client_of, call):
    server = TokenServer(rejected=2, body=b'{"msg": "Not enough segments"}', status=422)
    with pytest.raises(AuthorizationError, match=r"422: Not enough segments"):
        call(client_of(server, token="refresh"), RestClient.capabilities)
    assert server.paths == ["/token/refresh", "/servicex", "/token/refresh", "/servicex"]


def test_a_422_about_anything_else_is_not_about_the_token(client_of, call):
    server = TokenServer(rejected=1, body=b'{"message": "no such format"}', status=422)
    with pytest.raises(BackendError, match="422: no such format") as caught:
        call(client_of(server, token="refresh"), RestClient.capabilities)
    assert not isinstance(caught.value, AuthorizationError)
    assert server.issued == 1


def test_without_a_refresh_token_a_rejected_call_is_not_repeated(client_of, call):
    server = TokenServer(rejected=0)
    with pytest.raises(AuthorizationError, match="401"):
        call(client_of(server), RestClient.capabilities)
    assert server.paths == ["/servicex"]


def test_a_token_that_is_rejected_while_many_calls_wait_is_renewed_once(client_of):
    server = TokenServer(rejected=1)
    rest = client_of(server, token="refresh")

    async def call_often():
        async with rest.connected():
            await asyncio.gather(*(rest.capabilities() for _ in range(50)))

    asyncio.run(call_often())
    assert server.issued == 2


def test_a_transient_failure_of_the_renewal_is_retried(client_of, call):
    server, failures = TokenServer(rejected=0), iter([503, 503])

    def fail_first(method, path):
        status = next(failures, None) if path == "/token/refresh" else None
        return (status, b"", {}) if status else server(method, path)

    rest = client_of(fail_first, token="refresh", clock=FakeClock())
    call(rest, RestClient.capabilities)
    assert server.paths == ["/token/refresh", "/servicex"]


def test_a_rejected_refresh_token_is_sent_once_for_all_calls(service, request_id):
    rest = RestClient(Backend("local", service.url, "bad.secret.token"), 10.0)
    service.traffic.reset()
    answers = asyncio.run(statuses(rest, request_id, 500))
    answers += asyncio.run(statuses(rest, request_id, 500))
    assert {type(answer) for answer in answers} == {AuthorizationError}
    assert len({str(answer) for answer in answers}) == 1
    assert "rejected the refresh token" in str(answers[0])
    assert "secret" not in str(answers[0])
    assert service.traffic.calls == {"token": 1}


def test_a_rejected_refresh_token_is_sent_again_after_a_minute(service, request_id):
    clock = FakeClock()
    rest = RestClient(Backend("local", service.url, "bad.secret.token"), 10.0, clock=clock)
    service.traffic.reset()
    for seconds, calls in [(0.0, 1), (59.0, 1), (1.0, 2)]:
        clock.advance(seconds)
        (answer,) = asyncio.run(statuses(rest, request_id))
        assert isinstance(answer, AuthorizationError)
        assert service.traffic.calls == {"token": calls}


def test_a_new_refresh_token_is_used_immediately(service, request_id):
    rest = RestClient(Backend("local", service.url, "bad.secret.token"), 10.0)
    assert isinstance(asyncio.run(statuses(rest, request_id))[0], AuthorizationError)
    rest.authorize(find_backend(config_path=service.servicex_yaml), None)
    assert asyncio.run(statuses(rest, request_id))[0].request_id == request_id


@pytest.mark.parametrize(
    "body", [b"<html>", b"[]", b"{}", b'{"access_token": 5}', b'{"access_token": "a\\nb"}']
)
def test_an_answer_without_a_token_is_a_rejection(client_of, call, body):
    rest = client_of(lambda *_: (200, body, {}), token="refresh")
    with pytest.raises(AuthorizationError, match="no access token"):
        call(rest, RestClient.capabilities)


# Access tokens from elsewhere


def test_an_access_token_is_used_as_it_is(service, request_id, access_token):
    rest = RestClient(Backend("local", service.url), 10.0, access_token=access_token)
    assert asyncio.run(statuses(rest, request_id))[0].request_id == request_id
    assert service.traffic.calls["token"] == 0


def test_a_bearer_token_file_is_read_at_each_call(
    service, request_id, access_token, tmp_path, monkeypatch
):
    path = tmp_path / "token"
    monkeypatch.setenv("BEARER_TOKEN_FILE", str(path))
    rest = RestClient(Backend("local", service.url), 10.0)
    for content, is_good in [
        (f"{access_token}\n", True),
        ("an.old.one", False),
        (access_token, True),
    ]:
        path.write_text(content)
        (answer,) = asyncio.run(statuses(rest, request_id))
        assert isinstance(answer, AuthorizationError) != is_good
    assert "token" not in service.traffic.calls


def test_if_the_token_in_the_file_is_rejected_the_refresh_token_is_used(
    client, service, request_id, tmp_path, monkeypatch
):
    path = tmp_path / "token"
    path.write_text("not.a.token\n")
    monkeypatch.setenv("BEARER_TOKEN_FILE", str(path))
    assert asyncio.run(statuses(client, request_id))[0].request_id == request_id
    assert service.traffic.calls["token"] == 1


def test_a_missing_bearer_token_file_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("BEARER_TOKEN_FILE", str(tmp_path / "missing"))
    with pytest.raises(AuthorizationError, match=r"BEARER_TOKEN_FILE.*missing"):
        bearer_token()


@pytest.mark.parametrize("content", [b"\xff\xfe", "é".encode(), b"one\ntwo"])
def test_a_bearer_token_file_without_a_token_is_an_error(content, tmp_path, monkeypatch):
    path = tmp_path / "token"
    path.write_bytes(content)
    monkeypatch.setenv("BEARER_TOKEN_FILE", str(path))
    (answer,) = asyncio.run(statuses(RestClient(Backend("far", "http://127.0.0.1:1"), 10.0), "a"))
    assert isinstance(answer, AuthorizationError)
    assert str(path) in str(answer)
    assert "two" not in str(answer)


@pytest.mark.parametrize("content", [None, ""])
def test_without_a_token_file_there_is_no_token(content, tmp_path, monkeypatch):
    if content is not None:
        path = tmp_path / "token"
        path.write_text(content)
        monkeypatch.setenv("BEARER_TOKEN_FILE", str(path))
    assert bearer_token() is None
