from __future__ import annotations

import json

import awkward as ak
import pytest
from dask.base import compute
from distributed import Client

import servicex_layer as sxl
from servicex_layer._config import find_backend
from servicex_layer._model import Backend
from servicex_layer.backend import RestClient
from servicex_layer.errors import BackendError

FORM = "{x: float64, v: var * float64}"
LISTS_AND_SIGNS = ["generate_file_urls", "poll_local_transformation_results"]


@pytest.mark.dask_awkward
@pytest.mark.parametrize("result_format", ["root-file", "root-rntuple", "parquet"])
def test_every_kind_of_store_gives_the_same_result(
    any_service, inputs, cluster_of_processes, result_format
):
    request_id = any_service.submit(inputs, tree="events", result_format=result_format)
    with Client(cluster_of_processes):
        events = sxl.from_servicex(request_id, form=FORM)
        selected = events[events.x % 100 > 3]
        sums = compute(selected.x + ak.sum(selected.v, axis=1))[0]
    expected = [
        100 * index + x + (index + 0.5) * (x % 3) for index in range(4) for x in range(4, 10)
    ]
    assert sorted(sums) == sorted(expected)


def test_the_kind_of_store_follows_from_the_backend(any_service, inputs, call_store, request):
    request_id = any_service.submit(inputs[:1], tree="events", columns=["x"], manual=True)

    async def class_name(store):
        return type(store).__name__

    rest = RestClient(find_backend(), 1.0)
    kinds = {"file-urls": "FileUrls", "presigned": "Presigned", "listing": "Listing"}
    kind = kinds[request.node.callspec.params["any_service"]]
    assert call_store(rest, request_id, class_name) == kind


def client_of_backend(serve, **changes):
    """Return a client of a server that answers each call with a status and more."""
    status = {"request_id": "a-request", "status": "Running", "files": 1, **changes}
    body = json.dumps({**status, "files-completed": 0, "files-failed": 0}).encode()
    return RestClient(Backend("old", serve(lambda *_: (200, body, {}))), 1.0)


def list_rows(store):
    return store.list_finished(None)


def test_a_backend_without_any_access_to_results_is_an_error(serve, call_store):
    rest = client_of_backend(serve)
    with pytest.raises(
        BackendError, match=r"old offers no supported access .* a-request: .*no S3 store"
    ):
        call_store(rest, "a-request", list_rows)


@pytest.mark.parametrize("endpoint", ["", None])
def test_a_status_without_the_address_of_a_store_is_an_error(serve, call_store, endpoint):
    keys = {"minio-access-key": "a", "minio-secret-key": "b", "minio-endpoint": endpoint}
    rest = client_of_backend(serve, **keys)
    with pytest.raises(BackendError, match="no supported access to the results"):
        call_store(rest, "a-request", list_rows)


def test_a_backend_of_2024_lists_no_volume(serve, call_store):
    rest = client_of_backend(serve, **{"result-destination": "volume"})
    with pytest.raises(BackendError, match=r"no supported access .* 'volume'"):
        call_store(rest, "a-request", list_rows)


def test_a_backend_that_lists_a_volume_has_one(serve, call_store):
    changes = {"result-destination": "volume", "capabilities": LISTS_AND_SIGNS, "results": []}
    rest = client_of_backend(serve, **changes)
    assert call_store(rest, "a-request", list_rows) == []
