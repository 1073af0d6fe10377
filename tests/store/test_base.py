from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from servicex_layer._config import find_backend
from servicex_layer._model import Backend
from servicex_layer.backend._client import RestClient
from servicex_layer.errors import BackendError, MissingObjectError, UnknownRequestError
from servicex_layer.feed._url_cache import UrlCache
from servicex_layer.local import LocalServiceX
from servicex_layer.store._base import open_store

T = TypeVar("T")


@pytest.fixture
def request_id(finished: Callable[..., str], inputs: list[Path]) -> str:
    return finished(inputs)


def run(
    service: LocalServiceX, request_id: str, call: Callable[[UrlCache, list[str]], Awaitable[T]]
) -> T:
    """Call something with a store and the names of its objects."""

    async def in_loop() -> T:
        rest = RestClient(find_backend(config_path=service.servicex_yaml), 1.0)
        async with rest.connected():
            store = await open_store(rest, await rest.status(request_id), 1.0)
            names = [row.file.name for row in await store.list_finished(None)]
        return await call(UrlCache(store, f"Request {request_id}"), names)

    return asyncio.run(in_loop())


def test_url_leads_to_the_bytes(service: LocalServiceX, request_id: str):
    location = run(service, request_id, lambda store, names: store.locate(names[:1]))
    answer = httpx.get(location.url, headers=dict(location.headers))
    assert answer.content.startswith(b"root")
    assert location.expires > time.time()
    assert location.url not in repr(location)


def test_many_are_asked_for_at_once_and_once(service: LocalServiceX, request_id: str):
    async def all_of_them(store: UrlCache, names: list[str]) -> None:
        await asyncio.gather(*(store.locate(names[number:] + names) for number in range(4)))
        await store.locate(names)

    run(service, request_id, all_of_them)
    assert service.traffic.calls["file-urls"] == 1


def test_rejected_url_is_not_given_again(service: LocalServiceX, request_id: str):
    async def twice(store: UrlCache, names: list[str]) -> None:
        rejected = await store.locate(names)
        await store.locate(names, rejected.url)
        await store.locate(names[1:])

    run(service, request_id, twice)
    assert service.traffic.calls["file-urls"] == 2


def test_url_that_is_about_to_expire_is_not_given_again(
    use_service: Callable[[LocalServiceX], None], inputs: list[Path]
):
    async def twice(store: UrlCache, names: list[str]) -> None:
        await store.locate(names)
        await store.locate(names)

    with LocalServiceX(url_lifetime=20) as service:
        use_service(service)
        request_id = service.submit(inputs[:1], tree="events", manual=True)
        service.release(request_id, 0)
        run(service, request_id, twice)
        assert service.traffic.calls["file-urls"] == 2


def test_unknown_request(service: LocalServiceX):
    with pytest.raises(UnknownRequestError, match="unknown"):
        run(service, "unknown", lambda store, _: store.locate(["a.root"]))


def backend_that_says(serve: Any, **said: Any) -> str:
    """Serve all calls with the same answer: a status with a few things more."""
    status = {"request_id": "a-request", "status": "Running", "files": 1, **said}
    body = json.dumps({**status, "files-completed": 0, "files-failed": 0}).encode()
    url: str = serve(lambda _method, _path: (200, body, {}))
    return url


def locate_at(url: str) -> None:
    async def locate() -> None:
        rest = RestClient(Backend("old", url), 1.0)
        async with rest.connected():
            store = await open_store(rest, await rest.status("a-request"), 1.0)
            await UrlCache(store, "Request a-request").locate(["a.root"])

    asyncio.run(locate())


def test_backend_that_tells_of_no_way_to_its_results(serve: Any):
    url = backend_that_says(serve)
    with pytest.raises(BackendError, match=r"old tells of no way .* a-request: .*no S3 store"):
        locate_at(url)


def test_backend_of_2024_lists_no_volume(serve: Any):
    url = backend_that_says(serve, **{"result-destination": "volume"})
    with pytest.raises(BackendError, match=r"old tells of no way .* 'volume'"):
        locate_at(url)


def test_backend_that_leaves_a_name_out(serve: Any):
    can = ["generate_file_urls", "poll_local_transformation_results"]
    url = backend_that_says(serve, capabilities=can, uris={})
    with pytest.raises(MissingObjectError, match=r"a-request.*'a\.root'"):
        locate_at(url)
