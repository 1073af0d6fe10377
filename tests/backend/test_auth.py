from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from servicex_layer._config import find_backend
from servicex_layer._model import Backend
from servicex_layer.backend._client import RestClient
from servicex_layer.errors import AuthorizationError
from servicex_layer.local import LocalServiceX

PATIENCE = 10.0


@pytest.fixture
def request_id(service: LocalServiceX) -> str:
    return service.submit([], tree="events", manual=True)


@pytest.fixture
def access_token(service: LocalServiceX) -> str:
    refresh = find_backend(config_path=service.servicex_yaml).token
    answer = httpx.post(
        f"{service.url}/token/refresh", headers={"Authorization": f"Bearer {refresh}"}
    )
    return str(answer.json()["access_token"])


def ask(rest: RestClient, request_id: str, times: int = 1) -> list[Any]:
    """Ask several times at once; errors are answers too."""

    async def all_of_them() -> list[Any]:
        async with rest.connected():
            calls = (rest.status(request_id) for _ in range(times))
            return await asyncio.gather(*calls, return_exceptions=True)

    return asyncio.run(all_of_them())


def test_a_rejected_refresh_token_is_one_call_for_all_who_wait(
    service: LocalServiceX, request_id: str
):
    rest = RestClient(Backend("local", service.url, "bad.secret.token"), PATIENCE)
    service.traffic.reset()
    answers = ask(rest, request_id, 500) + ask(rest, request_id, 500)
    assert {type(answer) for answer in answers} == {AuthorizationError}
    assert len({str(answer) for answer in answers}) == 1
    assert "secret" not in str(answers[0])
    assert service.traffic.calls == {"token": 1}


def test_new_tokens_reach_a_client_that_was_rejected(service: LocalServiceX, request_id: str):
    rest = RestClient(Backend("local", service.url, "bad.secret.token"), PATIENCE)
    assert isinstance(ask(rest, request_id)[0], AuthorizationError)
    rest.authorize(find_backend(config_path=service.servicex_yaml), None)
    assert ask(rest, request_id)[0].request_id == request_id


def test_a_bearer_token_file_is_read_again_when_it_changes(
    service: LocalServiceX,
    request_id: str,
    access_token: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    path = tmp_path / "token"
    monkeypatch.setenv("BEARER_TOKEN_FILE", str(path))
    rest = RestClient(Backend("local", service.url), PATIENCE)
    for content, good in [(access_token + "\n", True), ("an.old.one", False), (access_token, True)]:
        path.write_text(content)
        (answer,) = ask(rest, request_id)
        assert isinstance(answer, AuthorizationError) != good
    assert service.traffic.calls["token"] == 1, "the fixture's own"


@pytest.mark.parametrize("content", [b"\xff\xfe", "é".encode(), b"one\ntwo"])
def test_a_bearer_token_file_without_a_token(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "token"
    path.write_bytes(content)
    monkeypatch.setenv("BEARER_TOKEN_FILE", str(path))
    (answer,) = ask(RestClient(Backend("far", "http://127.0.0.1:1"), PATIENCE), "a")
    assert isinstance(answer, AuthorizationError)
    assert str(path) in str(answer)
    assert "two" not in str(answer)


def test_an_access_token_that_was_given(service: LocalServiceX, request_id: str, access_token: str):
    service.traffic.reset()
    rest = RestClient(Backend("local", service.url), PATIENCE, access_token=access_token)
    assert ask(rest, request_id)[0].request_id == request_id
    assert service.traffic.calls == {"status": 1}


def test_a_token_that_expires_while_many_wait_is_renewed_once(serve: Any):
    lock = threading.Lock()
    renewed: list[str] = []
    refused: list[str] = []

    def answer(_method: str, path: str) -> Any:
        with lock:
            if path == "/token/refresh":
                renewed.append(path)
                return 200, json.dumps({"access_token": f"{len(renewed)}"}).encode(), {}
            if len(renewed) < 2:
                refused.append(path)
                return 401, b"{}", {}
        return 200, b"{}", {}

    rest = RestClient(Backend("far", serve(answer), "refresh"), PATIENCE)

    async def many() -> None:
        async with rest.connected():
            await asyncio.gather(*(rest.capabilities() for _ in range(50)))

    asyncio.run(many())
    assert len(renewed) == 2
    assert refused


@pytest.mark.parametrize(
    "body", [b"<html>", b"[]", b"{}", b'{"access_token": 5}', b'{"access_token": "a\\nb"}']
)
def test_answers_without_a_token(serve: Any, body: bytes):
    rest = RestClient(Backend("far", serve(lambda *_: (200, body, {})), "refresh"), PATIENCE)
    (answer,) = ask(rest, "a")
    assert isinstance(answer, AuthorizationError)
    assert "no access token" in str(answer)
