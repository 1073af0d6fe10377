from __future__ import annotations

import httpx
import pytest

import servicex_layer as sxl
from servicex_layer.errors import BackendError, InvalidArgumentError
from servicex_layer.local import S3, LocalServiceX


@pytest.fixture(scope="module")
def s3(nothing_left):
    with LocalServiceX(store="s3") as service:
        yield service.store


@pytest.mark.dask_awkward
def test_a_store_that_was_there_before_is_left_as_it_was(s3, use_service, inputs):
    before = {bucket.name for bucket in s3.client().list_buckets()}
    same_store = S3(s3.url, "other-key", "other-secret")
    with LocalServiceX(store=same_store, name="other") as service:
        use_service(service)
        request_id = service.submit(inputs[:1], tree="events", columns=["x"])
        assert len(sxl.from_servicex(request_id).compute()) == 10
        assert s3.client().bucket_exists(request_id)
        assert service.store == same_store
    assert {bucket.name for bucket in s3.client().list_buckets()} == before


def test_a_deleted_request_has_no_bucket(s3, inputs):
    with LocalServiceX(store=s3) as service:
        request_id = service.submit(inputs[:1], tree="events", manual=True)
        service.release(request_id, 0)
        httpx.delete(f"{service.url}/servicex/transformation/{request_id}").raise_for_status()
        assert not s3.client().bucket_exists(request_id)


def test_a_server_without_a_store_has_none(shared_service):
    assert shared_service.store is None


def test_a_store_that_does_not_answer_is_an_error():
    with (
        pytest.raises(BackendError, match=r"S3 store http://127\.0\.0\.1:9 .*refused"),
        LocalServiceX(store=S3("http://127.0.0.1:9", "key", "secret")),
    ):
        pass


@pytest.mark.parametrize("url", ["ftp://host", "host:9000", "http://", "http://host/path"])
def test_a_url_must_be_that_of_a_store(url):
    with pytest.raises(InvalidArgumentError, match="URL of an S3 store"):
        S3(url, "key", "secret")


@pytest.mark.parametrize("options", [{"store": "minio"}, {"version": 2023}])
def test_an_unknown_store_or_version_is_an_error(options):
    with pytest.raises(InvalidArgumentError, match=r"2024|'s3'"):
        LocalServiceX(**options)
