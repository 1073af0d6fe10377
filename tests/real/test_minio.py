"""Results in MinIO's own server, which checks signatures, keys and clocks."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from io import BytesIO
from urllib.parse import urlsplit

import awkward as ak
import httpx
import pytest
from dask.base import compute
from distributed import Client

import servicex_layer as sxl
from servicex_layer._config import Polling
from servicex_layer._model import Backend, Location, ResultFile
from servicex_layer.backend._client import RestClient
from servicex_layer.errors import (
    AuthorizationError,
    BackendError,
    BackendUnreachableError,
    MissingObjectError,
)
from servicex_layer.feed._feed import RequestFeed
from servicex_layer.local import LocalServiceX
from servicex_layer.net._retry import tls_context
from servicex_layer.reading._read import read_form
from servicex_layer.transport import _connection_pool as pools
from servicex_layer.transport._result import ResultSource

FORM = "{x: float64, v: var * float64}"
NAMES = [
    "root:::eospublic.cern.ch::store:user:a b.root",
    "pool.root.1",
    "a+b=c&d%20e#f?g.root",
    "ünïcode-日本.root",
    "star*tilde~(brackets)[x]'quote'.root",
    "x" * 200,
]


@pytest.fixture(scope="module", params=["minio_http", "minio_tls"])
def store(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module", params=[None, 2024], ids=["presigned", "listing"])
def a_service(request, store):
    with LocalServiceX(store=store, version=request.param, authentication=True) as service:
        yield service


@pytest.mark.parametrize("result_format", ["root-file", "root-rntuple", "parquet"])
def test_the_same_answer_on_a_cluster(a_service, use_service, inputs, cluster, result_format):
    use_service(a_service)
    request_id = a_service.submit(inputs, tree="events", result_format=result_format)
    with Client(cluster):
        events = sxl.from_servicex(request_id, form=FORM)
        chosen = events[events.x % 100 > 3]
        whole = compute(chosen.x + ak.sum(chosen.v, axis=1))[0]
    assert sorted(whole) == sorted(
        100 * index + x + (index + 0.5) * (x % 3) for index in range(4) for x in range(4, 10)
    )


def test_objects_of_any_name_are_listed_and_read(store, feed_of):
    bucket = f"names-{random.randrange(10**12)}"
    put(store, bucket, NAMES)

    async def read_feed():
        feed = feed_of(store, bucket, len(NAMES))
        files = await asyncio.gather(*(feed.get(i, len(NAMES)) for i in range(len(NAMES))))
        return {file.name: await feed.locate(file.name) for file in files}

    found = asyncio.run(read_feed())
    read = {name: httpx.get(found[name].url, verify=tls_context()).text for name in found}
    assert read == {name: name for name in NAMES}
    store.remove(bucket)


def put(store, bucket, names):
    store.make(bucket)
    client = store.client()
    for name in names:
        client.put_object(bucket, name, BytesIO(name.encode()), len(name.encode()))


@pytest.fixture
def feed_of(serve) -> Callable[..., RequestFeed]:
    """Make the feed of a bucket for which a backend of 2024 reports a number of results."""

    def feed_of(store, bucket, files, completed=None):
        def answer(_method, path):
            finished = files if completed is None else completed()
            status = {
                "request_id": bucket,
                "status": "Complete" if finished == files else "Running",
                "files": files,
                "files-completed": finished,
                "files-failed": 0,
                **store.status(),
            }
            content = {} if path == "/servicex" else status
            return 200, httpx.Response(200, json=content).content, {}

        rest = RestClient(Backend("scripted", serve(answer)), 0.0)
        return RequestFeed(rest, bucket, Polling(0.0, 0.0, 0.0, 600.0, None, 5.0))

    return feed_of


def test_three_pages_of_objects_that_appear_while_they_are_listed(minio_http, feed_of):
    store = minio_http
    bucket, count = f"many-{random.randrange(10**12)}", 2500
    store.make(bucket)
    client, uploaded = store.client(), []
    names = [f"{number:04}.root" for number in range(count)]
    random.Random(2).shuffle(names)

    def upload(name):
        # Counted first, as by servers of 2024.
        uploaded.append(name)
        client.put_object(bucket, name, BytesIO(b"result"), 6)

    async def read_feed():
        feed = feed_of(store, bucket, count, lambda: len(uploaded))
        return await asyncio.gather(*(feed.get(number, count) for number in range(count)))

    with ThreadPoolExecutor(2) as threads:
        uploads = [threads.submit(upload, name) for name in names]
        files = asyncio.run(read_feed())
        for upload_done in uploads:
            upload_done.result()
    assert sorted(file.name for file in files) == sorted(names)
    store.remove(bucket)


def first_file(feed):
    return asyncio.run(feed.get(0, 1))


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({"access_key": "unknown-key"}, "does not know the access key"),
        ({"secret_key": "wrong-secret"}, "secret key is wrong"),
    ],
)
def test_wrong_keys_are_an_authorization_error(store, feed_of, keys, text):
    put(store, "keys", ["a.root"])
    with pytest.raises(AuthorizationError, match=f"{text}.*operators") as caught:
        first_file(feed_of(dataclasses.replace(store, **keys), "keys", 1))
    assert "wrong-secret" not in str(caught.value)
    store.remove("keys")


def test_a_removed_bucket_is_named(store, feed_of):
    with pytest.raises(MissingObjectError, match=r"bucket is gone .*submit the request again"):
        first_file(feed_of(store, "no-such-bucket", 1))


def test_a_bucket_removed_before_reading_is_named(store):
    store.make("gone")
    url = store.client().presigned_get_object("gone", "a.root")
    store.remove("gone")
    with pytest.raises(MissingObjectError, match=r"Result .*bucket is gone"):
        read_form(source_at(url), None)


def source_at(*urls):
    remaining = iter(urls)
    file = ResultFile(1, datetime.now(UTC), "a.root", "in.root", 1, 100)
    return ResultSource(
        file, lambda _rejected: Location(next(remaining)), "Result 'a.root' of a request"
    )


@pytest.mark.parametrize("minutes", [-20, 20])
def test_a_clock_20_minutes_off_is_named(store, feed_of, monkeypatch, minutes):
    from minio import time

    right = time.utcnow
    put(store, "clock", ["a.root"])
    monkeypatch.setattr(time, "utcnow", lambda: right() + timedelta(minutes=minutes))
    with pytest.raises(BackendError, match=r"clock of this machine .*RequestTimeTooSkewed"):
        first_file(feed_of(store, "clock", 1))
    monkeypatch.undo()
    store.remove("clock")


def test_an_expired_url_is_renewed(store, inputs):
    store.make("expiry")
    client = store.client()
    client.fput_object("expiry", "a.root", str(inputs[0]))
    long_ago = datetime.now(UTC) - timedelta(hours=2)
    expired = client.get_presigned_url(
        "GET", "expiry", "a.root", timedelta(hours=1), request_date=long_ago
    )
    good = client.presigned_get_object("expiry", "a.root")
    assert read_form(source_at(expired, good), None).fields[:2] == ["x", "n"]
    with pytest.raises(MissingObjectError, match="answered 403 AccessDenied: Request has expired"):
        read_form(source_at(expired, expired), None)
    store.remove("expiry")


def test_an_unknown_authority_is_named(minio_tls, feed_of, monkeypatch):
    url = f"{minio_tls.url}/no-such-bucket/a.root"
    monkeypatch.delenv("SSL_CERT_FILE")
    tls_context.cache_clear()
    pools._manager.cache_clear()
    try:
        with pytest.raises(BackendUnreachableError, match=r"not trusted.*SSL_CERT_FILE"):
            first_file(feed_of(minio_tls, "no-such-bucket", 1))
        with pytest.raises(MissingObjectError, match=r"not trusted.*SSL_CERT_FILE"):
            read_form(source_at(url), None)
    finally:
        tls_context.cache_clear()
        pools._manager.cache_clear()


def test_urls_are_path_style_and_lead_to_the_store(store, feed_of):
    put(store, "style", ["a.root"])

    async def read_feed():
        feed = feed_of(store, "style", 1)
        return await feed.locate((await feed.get(0, 1)).name)

    parts = urlsplit(asyncio.run(read_feed()).url)
    assert (parts.scheme, parts.netloc, parts.path) == (
        urlsplit(store.url).scheme,
        urlsplit(store.url).netloc,
        "/style/a.root",
    )
    store.remove("style")
