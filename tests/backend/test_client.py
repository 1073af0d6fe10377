from __future__ import annotations

import asyncio
import itertools
import json
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from servicex_layer._config import find_backend
from servicex_layer._model import Backend
from servicex_layer.backend._client import RestClient
from servicex_layer.errors import (
    AuthorizationError,
    BackendError,
    BackendUnreachableError,
    ProtocolError,
    UnknownRequestError,
)
from servicex_layer.local import Faults, LocalServiceX

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
    assert (status.files, status.completed, status.failed, status.is_terminal) == (4, 3, 0, False)
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
    with pytest.raises(
        BackendUnreachableError, match=f"{url}.* since 20.* UTC: 503 Service Unavailable.*Tried"
    ):
        call(rest, lambda rest: rest.capabilities())


class Shaky:
    """A backend that is down while `down` is set."""

    def __init__(self) -> None:
        self.down = False
        self.calls = 0

    def __call__(self, *_: str) -> Any:
        self.calls += 1
        return (503 if self.down else 200), OK, {}


def test_a_backend_that_was_there_is_waited_for(
    serve: Any, until: Callable[[Callable[[], object]], None], in_thread: Any
):
    backend = Shaky()
    rest = RestClient(Backend("far", serve(backend)), 0.1, 60.0)
    call(rest, lambda rest: rest.capabilities())
    backend.down = True
    before = backend.calls
    with concurrent_log() as said:
        answer = in_thread(lambda: call(rest, lambda rest: rest.capabilities()))
        until(lambda: backend.calls > before + 2 and said)
        backend.down = False
        assert answer() == {"one"}
    assert len(said) == 1, "once for an outage, not for each try"
    assert "far" in said[0]
    assert "503" in said[0]


def test_a_backend_that_stays_away_is_given_up_when_its_last_answer_is_old(serve: Any):
    backend = Shaky()
    rest = RestClient(Backend("far", serve(backend)), 0.1, 0.8)
    call(rest, lambda rest: rest.capabilities())
    backend.down = True
    start = time.monotonic()
    with pytest.raises(BackendUnreachableError, match="since"):
        call(rest, lambda rest: rest.capabilities())
    assert time.monotonic() - start > 0.6
    # Those that wait in line for the same need not wait as long.
    before = backend.calls
    with pytest.raises(BackendUnreachableError, match="Tried 1 times"):
        call(rest, lambda rest: rest.capabilities())
    assert backend.calls == before + 1
    backend.down = False
    assert call(rest, lambda rest: rest.capabilities()) == {"one"}


@contextmanager
def concurrent_log() -> Iterator[list[str]]:
    """Collect what the module logs, from whatever thread."""
    said: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    handler = Handler()
    logger = logging.getLogger("servicex_layer.rest")
    logger.addHandler(handler)
    try:
        yield said
    finally:
        logger.removeHandler(handler)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed_least_of_all_with_a_token(serve: Any, status: int):
    elsewhere: list[str] = []

    def other(_method: str, path: str) -> Any:
        elsewhere.append(path)
        return 200, OK, {}

    target = serve(other)
    location = {"Location": f"{target}/servicex?signature=secret"}
    url = serve(lambda *_: (status, b"", location))
    for backend in (Backend("far", url), Backend("far", url, "refresh")):
        with pytest.raises(BackendError, match=f"{status}.*{target}") as caught:
            call(RestClient(backend, PATIENCE), lambda rest: rest.capabilities())
        assert "secret" not in str(caught.value)
    assert not elsewhere


def test_calls_are_not_logged_but_the_users_own_are(
    service: LocalServiceX, caplog: pytest.LogCaptureFixture
):
    def names() -> set[str]:
        return {record.name.partition(".")[0] for record in caplog.records}

    with caplog.at_level(logging.DEBUG):
        call(client(service), lambda rest: rest.capabilities())
        assert not names() & {"httpx", "httpcore"}
        httpx.get(f"{service.url}/servicex")
        assert names() >= {"httpx", "httpcore"}


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


def test_answers_about_another_request(serve: Any):
    def answer(_method: str, path: str) -> Any:
        if path.endswith("/results"):
            return 200, json.dumps({"results": [row(**{"request-id": "b"})]}).encode(), {}
        return 200, json.dumps(STATUS | {"request_id": "b"}).encode(), {}

    rest = RestClient(Backend("far", serve(answer)), PATIENCE)
    with pytest.raises(ProtocolError, match="asked for request a and told of b"):
        call(rest, lambda rest: rest.status("a"))
    with pytest.raises(ProtocolError, match="another request than a"):
        call(rest, lambda rest: rest.results("a"))


STATUS = {
    "request_id": "a",
    "status": "Running",
    "files": 1,
    "files-completed": 0,
    "files-failed": 0,
}


def row(**changed: Any) -> dict[str, Any]:
    return {
        "id": 1,
        "created_at": "2026-11-22T19:45:00",
        "s3-object-name": "a.root",
        "file-path": "in.root",
        "transform_status": "success",
        **changed,
    }


@pytest.mark.parametrize(
    "changed",
    [
        {"id": 1.5},
        {"id": True},
        {"id": "1"},
        {"id": -1},
        {"created_at": "0001-01-01T00:00:00+05:00"},
        {"created_at": "9999-12-31T23:59:59"},
        {"created_at": 5},
        {"s3-object-name": None},
        {"s3-object-name": ""},
        {"file-path": ["a"]},
        {"transform_status": "SUCCESS"},
        {"transform_status": None},
        {"total-bytes": float("inf")},
        {"total-bytes": -1},
    ],
)
def test_rows_that_could_be_taken_for_others(serve: Any, changed: dict[str, Any]):
    body = json.dumps({"results": [row(), row(id=2, **{"s3-object-name": "b.root"}) | changed]})
    rest = RestClient(Backend("far", serve(lambda *_: (200, body.encode(), {}))), PATIENCE)
    with pytest.raises(ProtocolError, match="row of results"):
        call(rest, lambda rest: rest.results("a"))


@pytest.mark.parametrize("files", [-1, 0.5, "many", [], True, 10**12, float("nan")])
def test_impossible_numbers_of_files(serve: Any, files: Any):
    body = json.dumps(STATUS | {"files": files}).encode()
    rest = RestClient(Backend("far", serve(lambda *_: (200, body, {}))), PATIENCE)
    with pytest.raises(ProtocolError, match="a status"):
        call(rest, lambda rest: rest.status("a"))


@pytest.mark.parametrize("dataset", [(200, {"lookup_status": "does_not_exist"}), (404, {})])
def test_a_bad_dataset_tells_what_is_wrong(serve: Any, dataset: tuple[int, dict[str, str]]):
    asked: list[str] = []

    def answer(_method: str, path: str) -> Any:
        asked.append(path)
        if path == "/servicex/datasets/7":
            return dataset[0], json.dumps(dataset[1]).encode(), {}
        return 200, json.dumps(STATUS | {"status": "Bad Dataset", "did_id": 7}).encode(), {}

    rest = RestClient(Backend("far", serve(answer)), PATIENCE)
    status = call(rest, lambda rest: rest.status("a"))
    assert status.is_terminal
    assert status.lookup == dataset[1].get("lookup_status", "")
    assert len(asked) == 2


@pytest.mark.parametrize("url", ["file:///etc/passwd", "http://169.254.169.254/", "a.root"])
def test_urls_that_lead_inside_are_refused(serve: Any, url: str):
    body = json.dumps({"uris": {"a.root": [url, {}, 1e12]}}).encode()
    rest = RestClient(Backend("far", serve(lambda *_: (200, body, {}))), PATIENCE)
    with pytest.raises(ProtocolError, match=r"'a\.root' of request a.*trusted"):
        call(rest, lambda rest: rest.file_urls("a", ["a.root"]))


def test_request_ids_are_no_paths(serve: Any):
    asked: list[str] = []

    def answer(_method: str, path: str) -> Any:
        asked.append(path)
        return 404, b"{}", {}

    rest = RestClient(Backend("far", serve(answer)), PATIENCE)
    with pytest.raises(UnknownRequestError):
        call(rest, lambda rest: rest.status("../../token/refresh?a=b"))
    assert asked == ["/servicex/transformation/..%2F..%2Ftoken%2Frefresh%3Fa%3Db"]


@pytest.mark.parametrize("date", ["soon", "Sun, 22 Nov 2026 20:00:00 -0000", "1 Jan 0001 00:00"])
def test_dates_that_are_none(serve: Any, date: str):
    rest = RestClient(Backend("far", serve(lambda *_: (200, OK, {"Date": date}))), PATIENCE)
    call(rest, lambda rest: rest.capabilities())
    rest.server_time()


def test_json_without_end(serve: Any):
    rest = RestClient(Backend("far", serve(lambda *_: (200, b"[" * 100_000, {}))), PATIENCE)
    with pytest.raises(ProtocolError, match="no JSON object"):
        call(rest, lambda rest: rest.capabilities())


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
