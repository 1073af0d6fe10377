from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from io import BytesIO
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from servicex_layer._model import StoreAccess
from servicex_layer.errors import (
    AuthorizationError,
    BackendError,
    BackendUnreachableError,
    MissingObjectError,
    ProtocolError,
)
from servicex_layer.net import TransientError
from servicex_layer.net._retry import tls_context
from servicex_layer.store._bucket import Bucket

# As the names of objects may be: printable, without slashes.
NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn", "Co", "Zl", "Zp")),
    min_size=1,
    max_size=30,
).filter(lambda name: "/" not in name and "\\" not in name and name not in {".", ".."})
EMPTY_LISTING = (
    b"<ListBucketResult><Name>b</Name><IsTruncated>false</IsTruncated></ListBucketResult>"
)


def objects_at(url, name="a-bucket"):
    """List a bucket of a store that is not a real one."""
    parts = urlsplit(url)
    access = StoreAccess(parts.netloc, parts.scheme == "https", "the-key", "the-secret")
    return asyncio.run(Bucket(name, access).objects())


@settings(deadline=None, max_examples=12)
@given(st.lists(NAMES, min_size=1, max_size=5, unique=True))
def test_an_object_of_any_name_is_listed_and_read(s3, names):
    bucket_name = f"names-{random.randrange(10**12)}"
    s3.make(bucket_name)
    client = s3.client()
    for name in names:
        client.put_object(bucket_name, name, BytesIO(name.encode()), len(name.encode()))
    parts = urlsplit(s3.url)
    access = StoreAccess(parts.netloc, parts.scheme == "https", s3.access_key, s3.secret_key)

    async def list_and_sign():
        bucket = Bucket(bucket_name, access)
        listed = [entry.object_name for entry in await bucket.objects()]
        return listed, await bucket.sign(names, timedelta(minutes=10))

    listed, urls = asyncio.run(list_and_sign())
    assert sorted(listed) == sorted(names)
    contents = {name: httpx.get(url).content.decode() for name, url in urls.items()}
    assert contents == {name: name for name in names}
    s3.remove(bucket_name)


def test_a_missing_bucket_is_an_error(s3_access):
    with pytest.raises(MissingObjectError, match=r"missing-bucket could not be listed: .* is gone"):
        asyncio.run(Bucket("missing-bucket", s3_access).objects())


def test_wrong_keys_are_an_error_that_does_not_show_them(serve):
    body = b"<Error><Code>AccessDenied</Code><Message>No</Message></Error>"
    url = serve(lambda *_: (403, body, {"Content-Type": "application/xml"}))
    with pytest.raises(AuthorizationError, match=f"S3 store {url}.*a-bucket") as caught:
        objects_at(url)
    assert "the-key" not in str(caught.value)
    assert "the-secret" not in str(caught.value)


@pytest.mark.parametrize("address", ["127.0.0.1/path", "host:port"])
def test_an_invalid_address_is_an_error(address):
    with pytest.raises(ProtocolError, match=f"{address!r} .* not a valid host and port"):
        Bucket("a-bucket", StoreAccess(address, False, "key", "secret"))


def test_a_web_page_is_an_error(serve):
    url = serve(lambda *_: (200, b"<html>Welcome!<p>", {"Content-Type": "text/html"}))
    with pytest.raises(ProtocolError, match="not the answer of an S3 store"):
        objects_at(url)


def test_a_busy_store_is_a_transient_error_with_the_pause_that_it_asks_for(serve):
    url = serve(lambda *_: (503, b"", {"Retry-After": "7"}))
    with pytest.raises(TransientError, match=r"could not be .*answered 503") as caught:
        objects_at(url)
    assert caught.value.retry_after == 7


def test_a_store_that_refuses_connections_is_a_transient_error():
    with pytest.raises(TransientError, match=r"S3 store http://127\.0\.0\.1:9.*refused"):
        objects_at("http://127.0.0.1:9")


def test_a_store_that_answers_https_with_http_is_a_transient_error(serve):
    url = serve(lambda *_: (200, EMPTY_LISTING, {}))
    with pytest.raises(TransientError, match="a-bucket could not be listed: "):
        objects_at(url.replace("http:", "https:"))


def test_a_request_id_that_no_bucket_can_have_is_an_error():
    with pytest.raises(BackendError, match=r"the bucket a\.\.b could not be listed: "):
        objects_at("http://127.0.0.1:9", "a..b")


def test_a_redirect_is_not_followed(serve):
    paths = []

    def record_path(_method, path):
        paths.append(path)
        return 200, EMPTY_LISTING, {"Content-Type": "application/xml"}

    target = f"{serve(record_path)}/a-bucket?list-type=2"
    url = serve(lambda *_: (307, b"", {"Location": target}))
    with pytest.raises(BackendError, match="S3 store"):
        objects_at(url)
    assert not paths


@pytest.fixture
def certificates():
    """Have certificates loaded anew in the test, and after it."""
    tls_context.cache_clear()
    yield
    tls_context.cache_clear()


def test_a_trusted_private_authority_is_accepted(
    serve_tls, authority, tmp_path, monkeypatch, certificates
):
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    answers = {"location": b"<LocationConstraint/>"}
    url = serve_tls(
        lambda _method, path: (
            200,
            answers.get(urlsplit(path).query.partition("=")[0], EMPTY_LISTING),
            {"Content-Type": "application/xml"},
        )
    )
    assert objects_at(url) == []


def test_an_untrusted_certificate_is_an_error(serve_tls, certificates):
    url = serve_tls(lambda *_: (200, EMPTY_LISTING, {}))
    with pytest.raises(BackendUnreachableError, match=r"not trusted.*SSL_CERT_FILE"):
        objects_at(url)
