from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest

from servicex_layer.config import find_backend
from servicex_layer.errors import (
    AuthorizationError,
    BackendError,
    BackendUnreachableError,
    ProtocolError,
    UnknownRequestError,
)
from servicex_layer.local import Faults, LocalServiceX
from servicex_layer.model import Backend
from servicex_layer.rest import RestClient

T = TypeVar("T")
PATIENCE = 10.0
OK = b'{"app-version": "2", "capabilities": ["one"]}'


def call(rest: RestClient, what: Callable[[RestClient], Awaitable[T]]) -> T:
    async def in_loop() -> T:
        async with rest.connected():
            return await what(rest)

    return asyncio.run(in_loop())


def client(service: LocalServiceX) -> RestClient:
    return RestClient(find_backend(config_path=service.servicex_yaml), PATIENCE)


def test_asks_for_state_and_results(
    service: LocalServiceX, submit: Callable[..., str], inputs: list[Path]
):
    request_id = submit(inputs)
    rest = client(service)
    early, late = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    service.release(request_id, 0, created_at=early)
    service.release(request_id, 1, 2, created_at=late)
    status = call(rest, lambda rest: rest.status(request_id))
    assert (status.files, status.completed, status.failed, status.over) == (4, 3, 0, False)
    rows = call(rest, lambda rest: rest.results(request_id))
    assert sorted(row.file.created_at for row in rows) == [early, late, late]
    assert all(row.success and row.file.events == 10 for row in rows)
    assert len(call(rest, lambda rest: rest.results(request_id, early))) == 2
    assert call(rest, lambda rest: rest.results(request_id, late)) == []
    service.release(request_id, 3)
    assert call(rest, lambda rest: rest.status(request_id)).status == "Complete"


def test_capabilities(service: LocalServiceX, serve: Any):
    assert "generate_file_urls" in call(client(service), lambda rest: rest.capabilities())
    old = RestClient(Backend("old", serve(lambda *_: (200, b"{}", {}))), PATIENCE)
    assert call(old, lambda rest: rest.capabilities()) == frozenset()


def test_one_token_for_many_calls(service: LocalServiceX, submit: Callable[..., str]):
    request_id = submit([])
    before = service.traffic.calls["token"]

    async def many(rest: RestClient) -> None:
        await asyncio.gather(*(rest.status(request_id) for _ in range(20)))

    call(client(service), many)
    assert service.traffic.calls["token"] == before + 1


def test_token_that_is_about_to_expire_is_renewed(inputs: list[Path]):
    with LocalServiceX(authentication=True, token_lifetime=30) as service:
        request_id = service.submit([], tree="events")
        rest = client(service)
        for _ in range(3):
            call(rest, lambda rest: rest.status(request_id))
        assert service.traffic.calls["token"] == 3


def test_token_that_is_rejected_is_renewed_once(serve: Any):
    asked: list[str] = []

    def answer(_method: str, path: str) -> Any:
        asked.append(path)
        if path == "/token/refresh":
            return 200, json.dumps({"access_token": f"{len(asked)}"}).encode(), {}
        return (401 if len(asked) < 4 else 200), OK, {}

    rest = RestClient(Backend("far", serve(answer), "refresh"), PATIENCE)
    assert call(rest, lambda rest: rest.capabilities()) == {"one"}
    assert asked == ["/token/refresh", "/servicex", "/token/refresh", "/servicex"]


@pytest.mark.parametrize("status", [401, 403])
def test_call_that_is_not_allowed(serve: Any, status: int):
    def answer(_method: str, path: str) -> Any:
        if path == "/token/refresh":
            return 200, b'{"access_token": "secret"}', {}
        return status, b'{"message": "not yours"}', {}

    rest = RestClient(Backend("far", serve(answer), "secret"), PATIENCE)
    with pytest.raises(AuthorizationError, match=f"far at .*{status}: not yours") as caught:
        call(rest, lambda rest: rest.status("a"))
    assert "secret" not in f"{caught.value} {rest!r}"


def test_refresh_token_that_is_rejected(service: LocalServiceX):
    rest = RestClient(Backend("local", service.url, "bad.secret.token"), PATIENCE)
    with pytest.raises(AuthorizationError, match="rejected the refresh token") as caught:
        call(rest, lambda rest: rest.status("a"))
    assert "secret" not in str(caught.value)


def test_bearer_token_file(service: LocalServiceX, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    rest = client(service)
    request_id = service.submit([], tree="events")
    call(rest, lambda rest: rest.status(request_id))
    path = tmp_path / "token"
    path.write_text("not.a.token\n")
    monkeypatch.setenv("BEARER_TOKEN_FILE", str(path))
    # What the file holds is rejected, so that the refresh token is used after all.
    before = service.traffic.calls["token"]
    call(client(service), lambda rest: rest.status(request_id))
    assert service.traffic.calls["token"] == before + 1
    monkeypatch.setenv("BEARER_TOKEN_FILE", str(tmp_path / "missing"))
    with pytest.raises(AuthorizationError, match=r"BEARER_TOKEN_FILE.*missing"):
        call(client(service), lambda rest: rest.status(request_id))


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_passing_failures_are_not_noticed(serve: Any, status: int):
    numbers = itertools.count()
    url = serve(lambda *_: (status if next(numbers) < 2 else 200, OK, {}))
    assert call(RestClient(Backend("far", url), PATIENCE), lambda rest: rest.capabilities()) == {
        "one"
    }
    assert next(numbers) == 3


def test_patience_ends(serve: Any):
    url = serve(lambda *_: (503, b"", {}))
    rest = RestClient(Backend("far", url), 0.2)
    with pytest.raises(BackendUnreachableError, match=f"{url}.*503 Service Unavailable.*Tried"):
        call(rest, lambda rest: rest.capabilities())


@pytest.mark.parametrize("status", [400, 409, 422, 500])
def test_what_the_server_says_is_handed_on_at_once(serve: Any, status: int):
    numbers = itertools.count()

    def answer(*_: str) -> Any:
        next(numbers)
        return status, b'{"message": "no such code generator"}', {}

    rest = RestClient(Backend("far", serve(answer)), PATIENCE)
    with pytest.raises(BackendError, match=f"{status}: no such code generator"):
        call(rest, lambda rest: rest.capabilities())
    assert next(numbers) == 1


def test_unknown_request(service: LocalServiceX):
    with pytest.raises(UnknownRequestError, match="'a-request'"):
        call(client(service), lambda rest: rest.status("a-request"))
    assert call(client(service), lambda rest: rest.results("a-request")) == []


@pytest.mark.parametrize(
    "body", [b"", b"<html></html>", b"[]", b"{}", b'{"results": 5}', b'{"results": [{"id": 1}]}']
)
def test_answers_of_no_servicex(serve: Any, body: bytes):
    rest = RestClient(Backend("far", serve(lambda *_: (200, body, {}))), PATIENCE)
    with pytest.raises(ProtocolError):
        call(rest, lambda rest: rest.results("a"))
    with pytest.raises(ProtocolError):
        call(rest, lambda rest: rest.status("a"))


def test_tells_the_time_by_the_servers_clock():
    with LocalServiceX(faults=Faults(clock_offset=1000.0)) as service:
        rest = client(service)
        call(rest, lambda rest: rest.capabilities())
        ahead = rest.server_time() - datetime.now(UTC)
    assert timedelta(seconds=998) < ahead <= timedelta(seconds=1000)


def test_connects_for_as_long_as_anyone_uses_it(service: LocalServiceX):
    rest = client(service)

    async def in_turn(rest: RestClient) -> None:
        async with rest.connected():
            pass
        await rest.capabilities()

    call(rest, in_turn)
    call(rest, in_turn)
    with pytest.raises(RuntimeError):
        asyncio.run(rest.capabilities())


def test_no_patience_at_all():
    rest = RestClient(Backend("far", "http://127.0.0.1:1"), 0.0)
    with pytest.raises(BackendUnreachableError, match="Tried 1 times"):
        call(rest, lambda rest: rest.capabilities())
