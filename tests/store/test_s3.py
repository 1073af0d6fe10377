from __future__ import annotations

import asyncio
import random

import cloudpickle
import pytest
from scripted_bucket import ScriptedBucket  # type: ignore[import-not-found]

import servicex_layer as sxl
from servicex_layer._config import find_backend
from servicex_layer.backend import RestClient
from servicex_layer.errors import (
    AuthorizationError,
    BackendError,
    BackendUnreachableError,
    FailedFilesError,
    MissingObjectError,
    ProtocolError,
    ServiceXLayerError,
)
from servicex_layer.local import Faults, LocalServiceX


class RefusingStore(ScriptedBucket):  # type: ignore[misc]
    """A store that refuses listings with an error: so many times, or until the keys change."""

    def __init__(self, code, status=403, *, times=None, good_key=None):
        super().__init__(["a.root"], at_a_time=1)
        self.code = code
        self.http_status = status
        self.times = times
        self.good_key = good_key

    def status(self):
        if self.good_key and self.calls["status"] > 1:
            self.access_key = self.good_key
        return super().status()

    def page(self, after):
        if self.access_key == self.good_key or self.calls["page"] - 1 == self.times:
            return super().page(after)
        error = f"<Error><Code>{self.code}</Code><Message>that is odd</Message></Error>"
        return self.xml(error, self.http_status)


# Errors and retries


@pytest.mark.parametrize(
    ("code", "error_class"),
    [
        ("InvalidAccessKeyId", AuthorizationError),
        ("NoSuchBucket", MissingObjectError),
        ("SomethingElse", BackendError),
    ],
)
def test_a_refusal_is_an_error_that_names_store_and_request(list_scripted, code, error_class):
    with pytest.raises(error_class, match=r"S3 store http.*a-request.*that is odd") as caught:
        list_scripted(RefusingStore(code))
    assert "first-key" not in str(caught.value)
    assert "not-to-be-shown" not in str(caught.value)


def test_changed_keys_are_read_from_the_status(list_scripted):
    script = RefusingStore("InvalidAccessKeyId", good_key="second-key")
    assert list_scripted(script) == ["a.root"]


def test_a_transient_failure_is_retried(list_scripted):
    script = RefusingStore("SlowDown", status=503, times=2)
    assert list_scripted(script, retry_timeout=20.0) == ["a.root"]


def test_a_failure_that_lasts_is_an_error(list_scripted):
    with pytest.raises(BackendUnreachableError, match=r"answered 503 .*retry-timeout"):
        list_scripted(RefusingStore("SlowDown", status=503))


def test_a_store_at_an_unsafe_address_is_not_called(list_scripted):
    script = ScriptedBucket(["a.root"], at_a_time=1)
    script.status_changes = {"minio-endpoint": "169.254.169.254"}
    with pytest.raises(ProtocolError, match=r"S3 store .* link-local"):
        list_scripted(script)


def test_a_status_that_names_no_store_any_more_is_an_error(list_scripted):
    class ForgettingStore(RefusingStore):
        def status(self):
            if self.calls["status"] > 1:
                self.status_changes["minio-endpoint"] = None
            return super().status()

    script = ForgettingStore("InvalidAccessKeyId")
    with pytest.raises(BackendError, match="names no S3 store any more"):
        list_scripted(script)


# Listings


def test_a_listing_of_several_pages_is_whole(list_scripted):
    names = [f"{number:04}.root" for number in range(2500)]
    random.Random(5).shuffle(names)
    script = ScriptedBucket(names, at_a_time=2500)
    assert sorted(list_scripted(script)) == sorted(names)
    assert script.calls["page"] == 3


@pytest.mark.dask_awkward
@pytest.mark.every_scheduler
def test_a_listing_numbers_each_file_once_on_every_scheduler(scheduler, listing, inputs):
    request_id = listing.submit(inputs, tree="events", columns=["x"])
    events = sxl.from_servicex(request_id, form="{x: float64}")
    assert sorted(events.x.compute()) == [
        100.0 * index + x for index in range(4) for x in range(10)
    ]


@pytest.mark.dask_awkward
def test_a_backend_of_2024_gets_only_calls_that_it_knows(listing, inputs, in_thread, until):
    def status_calls():
        return listing.traffic.calls["status"]

    listing.traffic.reset()
    request_id = listing.submit(inputs, tree="events", columns=["x"], manual=True)
    events = sxl.from_servicex(request_id, form="{x: float64}")
    before = status_calls()
    result = in_thread(lambda: events.x.compute(scheduler="sync"))
    # The second poll means that the first has seen the request running.
    until(lambda: status_calls() >= before + 2)
    for index in range(len(inputs)):
        listing.release(request_id, index)
    assert len(result()) == 40
    assert set(listing.traffic.calls) == {"submit", "status", "info"}


@pytest.mark.dask_awkward
def test_failed_files_are_not_in_a_listing(s3, use_service, inputs):
    faults = Faults(failing=frozenset({2}))
    with LocalServiceX(version=2024, store=s3, faults=faults) as service:
        use_service(service)
        request_id = service.submit(inputs, tree="events", columns=["x"])
        with pytest.warns(match="1 of 4 files failed"):
            events = sxl.from_servicex(request_id, form="{x: float64}").x.compute()
        assert sorted(events) == [100.0 * i + x for i in (0, 1, 3) for x in range(10)]
        with pytest.raises(FailedFilesError, match="1 of 4 files failed"):
            sxl.from_servicex(request_id, form="{x: float64}", on_failed="raise").compute()


@pytest.mark.dask_awkward
def test_a_missing_tree_in_a_listed_file_is_an_error(listing, inputs):
    # A listing has no number of events, so a file without the tree may not be an empty one.
    request_id = listing.submit(inputs[:1], tree="events", columns=["x"])
    events = sxl.from_servicex(request_id, form="{x: float64}", tree="mistyped")
    with pytest.raises(ServiceXLayerError, match="no tree 'mistyped'"):
        events.compute()


def test_an_object_without_a_time_is_an_error(list_scripted):
    class TimelessStore(ScriptedBucket):  # type: ignore[misc]
        def page(self, after):
            status, body, headers = super().page(after)
            return status, body.replace(b"LastModified", b"Modified"), headers

    with pytest.raises(ProtocolError, match=r"without a name, a time or a size: 'a\.root'"):
        list_scripted(TimelessStore(["a.root"], at_a_time=1))


# Presigned URLs


def test_a_refused_url_is_signed_again_with_the_keys_of_the_status(presigning, inputs, call_store):
    request_id = presigning.submit(inputs[:1], tree="events", columns=["x"])

    async def sign_again(store):
        return await store.urls(["a.root"], refused=True)

    presigning.traffic.reset()
    locations = call_store(RestClient(find_backend(), 1.0), request_id, sign_again)
    assert set(locations) == {"a.root"}
    assert presigning.traffic.calls["status"] == 2


@pytest.mark.dask_awkward
def test_a_bucket_that_is_removed_before_it_is_read_is_an_error(presigning, inputs):
    request_id = presigning.submit(inputs[:1], tree="events", columns=["x"], manual=True)
    presigning.release(request_id, 0)
    events = sxl.from_servicex(request_id, form="{x: float64}")
    presigning.store.remove(request_id)
    with pytest.raises(MissingObjectError, match="bucket is gone"):
        events.compute()


@pytest.mark.dask_awkward
def test_keys_are_in_no_graph_and_in_no_pickle(presigning, inputs):
    request_id = presigning.submit(inputs, tree="events", columns=["x"])
    events = sxl.from_servicex(request_id)

    async def request_status():
        rest = RestClient(find_backend(), 1.0)
        async with rest.connected():
            return await rest.status(request_id)

    status = asyncio.run(request_status())
    assert status.store.secret_key == presigning.store.secret_key
    pickled = cloudpickle.dumps((events, events.dask, status, status.store))
    shown = f"{status!r} {status} {status.store!r} {status.store} {presigning.store!r}"
    for secret in (status.store.secret_key, status.store.access_key):
        assert secret not in shown
        assert secret.encode() not in pickled
