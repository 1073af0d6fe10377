from __future__ import annotations

import json
import time

import httpx
import pytest

from servicex_layer._config import find_backend
from servicex_layer._model import Backend, TransformStatus
from servicex_layer.backend import RestClient
from servicex_layer.errors import BackendError, UnknownRequestError
from servicex_layer.store._backend import FileUrls, Volume


@pytest.fixture
def rest(service):
    return RestClient(find_backend(), 1.0)


@pytest.fixture
def request_id(finished, inputs):
    return finished(inputs)


def test_signed_urls_serve_the_results(rest, request_id, call_store):
    async def urls_of_all(store):
        rows = await store.list_finished(None)
        return await store.urls([row.file.name for row in rows])

    locations = call_store(rest, request_id, urls_of_all)
    assert len(locations) == 4
    for location in locations.values():
        answer = httpx.get(location.url, headers=dict(location.headers))
        assert answer.content.startswith(b"root")
        assert location.expires > time.time()


def test_urls_of_all_names_are_one_call(rest, service, request_id, call_store):
    async def urls(store):
        return await store.urls([f"{number}.root" for number in range(10)])

    call_store(rest, request_id, urls)
    assert service.traffic.calls["file-urls"] == 1


def test_urls_of_an_unknown_request_are_an_error(rest, service, submit, call_store):
    request_id = submit([])

    async def urls(_store):
        return await FileUrls(rest, "unknown").urls(["a.root"])

    with pytest.raises(UnknownRequestError, match="unknown"):
        call_store(rest, request_id, urls)


def test_failed_files_have_rows(rest):
    status = TransformStatus("a", "Running", files=5, completed=2, failed=1)
    assert FileUrls(rest, "a").expected_rows(status) == 3


def test_on_a_volume_the_name_of_a_result_is_its_path(rest, submit, call_store):
    async def urls(_store):
        return await Volume(rest, "a").urls(["/volume/a.root"])

    locations = call_store(rest, submit([]), urls)
    assert locations["/volume/a.root"].path == "/volume/a.root"


class VolumeServer:
    """A backend that lists one finished and one failed file, each with a name."""

    def __init__(self, finished, failed):
        self.names = {"success": finished, "failure": failed}

    def __call__(self, _method, _path):
        rows = [
            {
                "id": number,
                "created_at": "2026-11-22T19:45:00",
                "s3-object-name": name,
                "file-path": f"{number}.root",
                "transform_status": transform_status,
            }
            for number, (transform_status, name) in enumerate(self.names.items())
        ]
        content = {
            "request_id": "a",
            "status": "Running",
            "files": 2,
            "files-completed": 1,
            "files-failed": 1,
            "result-destination": "volume",
            "capabilities": ["poll_local_transformation_results"],
            "results": rows,
        }
        return 200, json.dumps(content).encode(), {}


def list_volume(serve, call_store, server):
    rest = RestClient(Backend("far", serve(server)), 1.0)
    return call_store(rest, "a", lambda store: store.list_finished(None))


def test_a_server_that_does_not_name_results_on_a_volume_is_an_error(serve, call_store):
    with pytest.raises(BackendError, match=r"far at .* does not name the result files .*'none'"):
        list_volume(serve, call_store, VolumeServer("none", "none"))


def test_a_failed_file_on_a_volume_needs_no_name(serve, call_store):
    rows = list_volume(serve, call_store, VolumeServer("/volume/0.root", "none"))
    assert [row.success for row in rows] == [True, False]
