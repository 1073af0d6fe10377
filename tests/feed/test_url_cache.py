from __future__ import annotations

import asyncio
import json

import pytest

from servicex_layer._config import find_backend
from servicex_layer._model import Backend
from servicex_layer.backend import RestClient
from servicex_layer.errors import MissingObjectError
from servicex_layer.feed._url_cache import UrlCache
from servicex_layer.local import LocalServiceX
from servicex_layer.store import open_store


@pytest.fixture
def request_id(finished, inputs):
    return finished(inputs)


def run(rest, request_id, function):
    """Call a function with the URL cache of a request, and the names of its results."""

    async def open_and_call():
        async with rest.connected():
            store = await open_store(rest, await rest.status(request_id), 1.0)
            names = [row.file.name for row in await store.list_finished(None)]
        return await function(UrlCache(store, f"Request {request_id}"), names)

    return asyncio.run(open_and_call())


def test_urls_are_fetched_together_and_once(service, request_id):
    async def locate_all(urls, names):
        await asyncio.gather(*(urls.locate(names[number:] + names) for number in range(4)))
        await urls.locate(names)

    run(RestClient(find_backend(), 1.0), request_id, locate_all)
    assert service.traffic.calls["file-urls"] == 1


def test_a_rejected_url_is_not_returned_again(service, request_id):
    async def reject_first(urls, names):
        rejected = await urls.locate(names)
        await urls.locate(names, rejected.url)
        await urls.locate(names[1:])

    run(RestClient(find_backend(), 1.0), request_id, reject_first)
    assert service.traffic.calls["file-urls"] == 2


def test_a_url_that_expires_soon_is_not_returned_again(use_service, inputs):
    async def locate_twice(urls, names):
        await urls.locate(names)
        await urls.locate(names)

    with LocalServiceX(url_lifetime=20) as service:
        use_service(service)
        request_id = service.submit(inputs[:1], tree="events", manual=True)
        service.release(request_id, 0)
        run(RestClient(find_backend(), 1.0), request_id, locate_twice)
        assert service.traffic.calls["file-urls"] == 2


def test_a_name_that_the_backend_leaves_out_is_an_error(serve):
    content = {
        "request_id": "a-request",
        "status": "Running",
        "files": 1,
        "files-completed": 0,
        "files-failed": 0,
        "capabilities": ["generate_file_urls", "poll_local_transformation_results"],
        "results": [],
        "uris": {},
    }
    url = serve(lambda *_: (200, json.dumps(content).encode(), {}))
    with pytest.raises(MissingObjectError, match=r"a-request.*'a\.root'"):
        run(
            RestClient(Backend("old", url), 1.0),
            "a-request",
            lambda urls, _: urls.locate(["a.root"]),
        )
