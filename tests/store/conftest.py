"""A ServiceX with each kind of store, and stores that are scripted."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import pytest

from servicex_layer._model import Backend, StoreAccess
from servicex_layer.backend import RestClient
from servicex_layer.local import Faults, LocalServiceX
from servicex_layer.store import open_store


@pytest.fixture(scope="module")
def services(nothing_left):
    """Start a ServiceX of each kind; two of them share an S3 server."""
    faults = Faults(upload_lag=0.2)
    with (
        LocalServiceX() as urls,
        LocalServiceX(store="s3", authentication=True) as presigned,
        LocalServiceX(version=2024, store=presigned.store, faults=faults) as listing,
    ):
        yield {"file-urls": urls, "presigned": presigned, "listing": listing}


@pytest.fixture(scope="module")
def s3(services):
    """Return the S3 server."""
    return services["presigned"].store


@pytest.fixture
def s3_access(s3):
    """Return address and keys of the S3 server."""
    parts = urlsplit(s3.url)
    return StoreAccess(parts.netloc, parts.scheme == "https", s3.access_key, s3.secret_key)


@pytest.fixture(params=["file-urls", "presigned", "listing"])
def any_service(request, services, use_service):
    use_service(services[request.param])
    return services[request.param]


@pytest.fixture
def presigning(services, use_service):
    use_service(services["presigned"])
    return services["presigned"]


@pytest.fixture
def listing(services, use_service):
    use_service(services["listing"])
    return services["listing"]


@pytest.fixture
def call_store():
    """Open the store of a request, and call it."""

    def call_store(rest, request_id, function, retry_timeout=0.0):
        async def open_and_call():
            async with rest.connected():
                store = await open_store(rest, await rest.status(request_id), retry_timeout)
                return await function(store)

        return asyncio.run(open_and_call())

    return call_store


@pytest.fixture
def list_scripted(serve, call_store):
    """List the names of the finished files of a scripted store."""

    def list_scripted(script, retry_timeout=0.0):
        rest = RestClient(Backend("scripted", script.serve(serve)), retry_timeout)
        rows = call_store(
            rest, script.request_id, lambda store: store.list_finished(None), retry_timeout
        )
        return [row.file.name for row in rows]

    return list_scripted
