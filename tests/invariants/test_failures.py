"""Whatever fails, the result is right or the error says what to do; `docs/failures.md` lists it."""

from __future__ import annotations

import contextlib
import http.server as http_server
import json
import logging
import re
import threading
import time
import warnings

import dask
import httpx
import pytest
from dask.base import compute
from distributed import default_client

import servicex_layer as sxl
from servicex_layer.errors import (
    AuthorizationError,
    BackendError,
    BackendUnreachableError,
    BadDatasetError,
    CorruptResultError,
    FailedFilesError,
    FailedFilesWarning,
    InvalidArgumentError,
    MissingObjectError,
    ProtocolError,
    ServiceXLayerError,
    TransformCanceledError,
    TransformFatalError,
    UnknownRequestError,
    WaitTimeoutError,
)
from servicex_layer.local import Faults, HttpFault, LocalServiceX
from servicex_layer.local._names import object_names

FORM = "{x: float64, n: int32, v: var * float64}"
ROUTES = ("info", "token", "status", "results", "file-urls", "file")

pytestmark = pytest.mark.parametrize(
    "scheduler", ["threads", "cluster_of_processes"], indirect=True
)


@pytest.fixture
def failing_service(use_service, inputs):
    """A ServiceX at which two files of four fail."""
    with LocalServiceX(authentication=True, faults=Faults(failing=frozenset({0, 2}))) as it:
        use_service(it)
        yield it


@pytest.fixture
def settings(scheduler, request):
    """Change settings, of the workers too."""
    with contextlib.ExitStack() as stack:

        def change(**values):
            new = {f"servicex-layer.{name.replace('_', '-')}": one for name, one in values.items()}
            before = {name: dask.config.get(name) for name in new}
            stack.enter_context(dask.config.set(new))
            if scheduler.startswith("cluster"):
                client = default_client()
                client.run(dask.config.set, new)
                stack.callback(client.run, dask.config.set, before)

        yield change


def all_x(inputs, indices=None):
    which = range(len(inputs)) if indices is None else indices
    return [100.0 * index + x for index in which for x in range(10)]


def computed(request_id):
    return sorted(sxl.from_servicex(request_id, form=FORM).x.compute().tolist())


def call(service, method, path):
    refresh = service.servicex_yaml.read_text().partition("token:")[2].split()[0]
    url = f"{service.url}/token/refresh"
    token = httpx.post(url, headers={"Authorization": f"Bearer {refresh}"}).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    httpx.request(method, service.url + path, headers=headers).raise_for_status()


# What passes is not noticed


@pytest.mark.parametrize(
    "fault",
    [
        *({"status": status} for status in (408, 429, 502, 503, 504)),
        # With a message of ServiceX itself it would be final.
        {"status": 500, "body": ""},
        {"status": 502, "body": "<h1>Bad Gateway</h1>", "content_type": "text/html"},
        {"hang_up": True},
        {"cut": 10},
        {"wrong_length": 7},
    ],
    ids=str,
)
def test_what_passes_is_not_noticed(scheduler, service, finished, inputs, fault):
    request_id = finished(inputs[:1])
    with service.disturbed(*(HttpFault(route=route, first=1, **fault) for route in ROUTES)):
        assert computed(request_id) == all_x(inputs[:1])
    assert all(service.traffic.calls[route] > 1 for route in ROUTES)


def test_delays(scheduler, service, finished, inputs):
    request_id = finished(inputs)
    with service.disturbed(*(HttpFault(route=route, first=1, delay=0.2) for route in ROUTES)):
        assert computed(request_id) == all_x(inputs)


def test_a_server_that_asks_for_time_gets_it(scheduler, service, finished, inputs):
    request_id = finished(inputs)
    start = time.monotonic()
    with service.disturbed(HttpFault(route="results", status=429, retry_after=1, first=1)):
        assert computed(request_id) == all_x(inputs)
    assert time.monotonic() - start >= 1


def test_a_rate_limit(scheduler, service, finished, inputs):
    request_id = finished(inputs)
    with service.disturbed(HttpFault(route="file", status=429, retry_after=1, above=1)):
        assert computed(request_id) == all_x(inputs)
    assert service.traffic.calls["file"] > 4


def test_a_tenth_of_all_calls_fails(scheduler, service, finished, inputs):
    kinds = ({"status": 503}, {"hang_up": True}, {"cut": 5})
    request_id = finished(inputs)
    faults = [
        HttpFault(route=route, fraction=0.1 / len(kinds), **kind)
        for route in ROUTES
        for kind in kinds
    ]
    with service.disturbed(*faults):
        for _ in range(3):
            assert computed(request_id) == all_x(inputs)


def test_tokens_and_urls_that_expire(scheduler, use_service, inputs):
    faults = [
        # A token that ends before its time, and a URL that ends on the way.
        HttpFault(route="results", status=401, first=1),
        HttpFault(route="file", delay=2.1, ending="input-1.root", first=1),
    ]
    with LocalServiceX(authentication=True, token_lifetime=30, url_lifetime=1) as service:
        use_service(service)
        request_id = service.submit(inputs, tree="events", manual=True)
        service.release(request_id, 0, 1, 2, 3)
        with service.disturbed(*faults):
            assert computed(request_id) == all_x(inputs)
        assert service.traffic.calls["token"] > 2
        assert service.traffic.calls["file-urls"] > 1
        assert service.traffic.calls["file"] > len(inputs)


def test_one_result_that_is_late_in_the_store(scheduler, service, finished, inputs):
    request_id = finished(inputs)
    with service.disturbed(HttpFault(route="file", status=404, ending="input-2.root", first=2)):
        assert computed(request_id) == all_x(inputs)


# A backend that goes away


@pytest.fixture
def said():
    """Collect what is said of a backend that does not answer, in this process."""
    messages = []

    class Handler(logging.Handler):
        def emit(self, record):
            messages.append(record.getMessage())

    handler = Handler()
    logger = logging.getLogger("servicex_layer.backend")
    logger.addHandler(handler)
    yield messages
    logger.removeHandler(handler)


def test_a_backend_that_goes_away_and_comes_back(
    scheduler, service, submit, settings, inputs, until, in_thread, said
):
    settings(retry_timeout="300ms", timeout="1 hour")
    request_id = submit(inputs)
    events = sxl.from_servicex(request_id, form=FORM)
    service.traffic.reset()
    result = in_thread(lambda: events.x.compute().tolist())
    until(lambda: service.traffic.calls["status"] > 1)
    with service.away():
        service.release(request_id, 0, 1, 2, 3)
        # Longer than a first call would be tried.
        until(lambda: said)
    assert sorted(result()) == all_x(inputs)
    assert len(said) == 1
    assert service.url in said[0]


def test_a_backend_that_stays_away(scheduler, service, submit, settings, inputs, until, in_thread):
    settings(retry_timeout="200ms", timeout="1s")
    request_id = submit(inputs)
    events = sxl.from_servicex(request_id, form=FORM)
    service.traffic.reset()
    result = in_thread(lambda: caught(events.x.compute))
    until(lambda: service.traffic.calls["status"] > 1)
    with service.away():
        error = result()
    assert isinstance(error, BackendUnreachableError)
    text = rf"{service.url} could not be reached since 20\d\d.* UTC: ConnectError.* Tried \d+ times"
    assert re.search(text, str(error))


def caught(function):
    try:
        return function()
    except ServiceXLayerError as error:
        return error


def test_a_backend_that_was_never_there(scheduler, service, settings):
    settings(retry_timeout="300ms", timeout="1 hour")
    with service.away(), pytest.raises(BackendUnreachableError, match="is the backend up"):
        sxl.from_servicex("a-request", form=FORM)


def test_nothing_happens(scheduler, submit, settings, inputs):
    settings(timeout="300ms")
    events = sxl.from_servicex(submit(inputs), form=FORM)
    with pytest.raises(WaitTimeoutError, match=r"servicex-layer\.timeout.*0 of 4 files finished"):
        events.x.compute()


# What cannot pass is told at once


@pytest.mark.parametrize(
    ("fault", "error", "text"),
    [
        ({"status": 400}, BackendError, "400: made to fail"),
        ({"status": 404}, ServiceXLayerError, "made to fail"),
        ({"status": 500}, BackendError, "500: made to fail"),
        ({"status": 401}, AuthorizationError, "does not allow"),
        ({"status": 403}, AuthorizationError, "does not allow"),
        ({"body": '{"request_id": '}, ProtocolError, "no JSON object"),
        ({"body": "[]"}, ProtocolError, "no JSON object"),
        ({"body": "<h1>Hello</h1>", "content_type": "text/html"}, ProtocolError, "no JSON object"),
        ({"redirect": "http://elsewhere.example/?signature=secret"}, BackendError, "redirects to"),
    ],
    ids=str,
)
@pytest.mark.parametrize("route", ["status", "results", "file-urls"])
def test_what_cannot_pass(scheduler, service, finished, inputs, route, fault, error, text):
    events = sxl.from_servicex(finished(inputs[:1]), form=FORM)
    service.traffic.reset()
    with (
        service.disturbed(HttpFault(route=route, **fault)),
        pytest.raises(error, match=text) as info,
    ):
        events.x.compute()
    assert service.url in str(info.value)
    assert "secret" not in str(info.value)
    assert service.traffic.calls[route] <= 3


@pytest.mark.parametrize(
    ("route", "key"),
    [
        ("status", "files"),
        ("status", "status"),
        ("results", "results"),
        ("results", "id"),
        ("results", "created_at"),
        ("results", "transform_status"),
        ("file-urls", "uris"),
    ],
)
def test_missing_keys(scheduler, service, finished, inputs, route, key):
    events = sxl.from_servicex(finished(inputs[:1]), form=FORM)
    with (
        service.disturbed(HttpFault(route=route, without=key)),
        pytest.raises(ProtocolError, match=key),
    ):
        events.x.compute()


@pytest.mark.parametrize("url", ["file:///etc/passwd", "http://169.254.169.254/a.root"])
def test_urls_that_lead_inside(scheduler, service, finished, inputs, url):
    (name,) = object_names([str(inputs[0])])
    body = json.dumps({"uris": {name: [url, {}, 1e12]}})
    events = sxl.from_servicex(finished(inputs[:1]), form=FORM)
    with (
        service.disturbed(HttpFault(route="file-urls", body=body)),
        pytest.raises(ProtocolError, match="is this backend to be trusted"),
    ):
        events.x.compute()


def test_a_refresh_token_that_is_rejected_on_the_way(scheduler, use_service, inputs):
    # Tokens end so soon that each call needs a new one.
    with LocalServiceX(authentication=True, token_lifetime=30) as service:
        use_service(service)
        request_id = service.submit(inputs, tree="events", manual=True)
        events = sxl.from_servicex(request_id, form=FORM)
        service.traffic.reset()
        with (
            service.disturbed(HttpFault(route="token", status=401)),
            pytest.raises(AuthorizationError, match="rejected the refresh token"),
        ):
            events.x.compute()
        assert service.traffic.calls["token"] == 1


@pytest.mark.parametrize("url", ["file:///etc/passwd", "http://169.254.169.254/a.root"])
def test_stores_that_redirect_inside(scheduler, service, finished, inputs, url):
    events = sxl.from_servicex(finished(inputs[:1]), form=FORM)
    with (
        service.disturbed(HttpFault(route="file", redirect=url)),
        pytest.raises(ProtocolError, match="is this backend to be trusted") as info,
    ):
        events.x.compute()
    assert "signature" not in str(info.value)


# Results


def test_a_result_that_is_refused(scheduler, service, finished, inputs):
    events = sxl.from_servicex(finished(inputs), form=FORM)
    with (
        service.disturbed(HttpFault(route="file", status=403, ending="input-2.root")),
        pytest.raises(MissingObjectError, match=r"input-2\.root.*403") as info,
    ):
        events.x.compute()
    assert "signature" not in str(info.value)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"status": 404}, MissingObjectError),
        ({"status": 503}, MissingObjectError),
        ({"hang_up": True}, MissingObjectError),
        ({"cut": 100}, CorruptResultError),
        ({"wrong_length": 5}, CorruptResultError),
        ({"wrong_length": -5}, CorruptResultError),
    ],
    ids=str,
)
def test_a_result_that_never_comes_whole(
    scheduler, service, finished, settings, inputs, fault, error
):
    settings(retry_timeout="200ms")
    request_id = finished(inputs)
    events = sxl.from_servicex(request_id, form=FORM)
    with (
        service.disturbed(HttpFault(route="file", ending="input-2.root", **fault)),
        pytest.raises(error, match=rf"input-2\.root' of request {request_id}") as info,
    ):
        events.x.compute()
    assert "signature" not in str(info.value)


def test_headers_of_a_url_stay_with_its_host(scheduler, use_service, inputs):
    taken = []

    class Handler(http_server.BaseHTTPRequestHandler):
        def do_GET(self):
            taken.append(dict(self.headers))
            self.send_error(400)

        def log_message(self, *_):
            pass

    with (
        http_server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as elsewhere,
        LocalServiceX(authentication=True, file_headers={"X-Secret": "a-header"}) as service,
    ):
        use_service(service)
        request_id = service.submit(inputs[:1], tree="events", manual=True)
        service.release(request_id, 0)
        thread = threading.Thread(target=elsewhere.serve_forever, args=(0.01,))
        thread.start()
        # Another host by its name.
        target = f"http://localhost:{elsewhere.server_address[1]}/a"
        with (
            service.disturbed(HttpFault(route="file", redirect=target)),
            pytest.raises(MissingObjectError, match="400"),
        ):
            computed(request_id)
        elsewhere.shutdown()
        thread.join()
    assert taken
    assert not [headers for headers in taken if {"X-Secret", "Authorization"} & {*headers}]


# How a request ends


@pytest.fixture
def half(service, submit, inputs):
    """A request of which half the files are finished."""
    request_id = submit(inputs)
    service.release(request_id, 3, 1)
    return request_id


def end_fatal(service, request_id):
    service.fail(request_id, "the transformer is broken")


def end_canceled(service, request_id):
    call(service, "GET", f"/servicex/transformation/{request_id}/cancel")


@pytest.mark.parametrize(
    ("end", "error", "text"),
    [
        (end_fatal, TransformFatalError, "2 of 4 .*The server says: the transformer is broken"),
        (end_canceled, TransformCanceledError, "2 of 4 files finished"),
    ],
)
def test_a_bad_end_is_told_to_all_who_wait_and_what_was_finished_stays(
    scheduler, service, half, inputs, until, in_thread, end, error, text
):
    events = sxl.from_servicex(half, form=FORM)
    service.traffic.reset()
    result = in_thread(lambda: caught(lambda: compute(*events.x.partitions[2:].to_delayed())))
    until(lambda: service.traffic.calls["results"])
    end(service, half)
    assert isinstance(result(), error)
    for number in (2, 3):
        with pytest.raises(error, match=rf"{half} ended as .*{text}"):
            events.x.partitions[number].compute()
    assert sorted(events.x.partitions[:2].compute().tolist()) == all_x(inputs, (1, 3))


def test_a_bad_dataset(scheduler, service):
    refresh = service.servicex_yaml.read_text().partition("token:")[2].split()[0]
    url = f"{service.url}/token/refresh"
    token = httpx.post(url, headers={"Authorization": f"Bearer {refresh}"}).json()["access_token"]
    body = {"did": "rucio://nowhere", "selection": '[{"treename": "t"}]', "codegen": "uproot-raw"}
    answer = httpx.post(
        f"{service.url}/servicex/transformation",
        json=body,
        headers={"Authorization": f"Bearer {token}"},
    )
    request_id = answer.json()["request_id"]
    with pytest.raises(BadDatasetError, match=r"knows no dataset.*ended with does_not_exist"):
        sxl.from_servicex(request_id, form=FORM)


def test_a_request_that_is_deleted_under_way(scheduler, service, half, until, in_thread):
    events = sxl.from_servicex(half, form=FORM)
    service.traffic.reset()
    result = in_thread(lambda: caught(events.x.partitions[3].compute))
    until(lambda: service.traffic.calls["results"])
    call(service, "DELETE", f"/servicex/transformation/{half}")
    error = result()
    assert isinstance(error, UnknownRequestError)
    assert re.search(rf"{half} was deleted .* Running: 2 of 4 files finished", str(error))


@pytest.fixture
def half_failed(failing_service, inputs):
    request_id = failing_service.submit(inputs, tree="events", manual=True)
    failing_service.release(request_id, 0, 1, 2, 3)
    return request_id


def test_failed_files_are_warned_of_once(scheduler, half_failed):
    events = sxl.from_servicex(half_failed, form=FORM)
    with pytest.warns(FailedFilesWarning, match=r"2 of 4 files failed.*input-") as told:
        found = compute(*events.x.to_delayed())
    assert [len(part) for part in found] == [10, 10, 0, 0]
    assert len([one for one in told if one.category is FailedFilesWarning]) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(events.n.compute()) == 20


def test_failed_files_can_be_an_error(scheduler, half_failed):
    for bound in ({"on_failed": "raise"}, {"max_failed": 0.25}, {"max_failed": 0.0}):
        events = sxl.from_servicex(half_failed, form=FORM, **bound)
        with pytest.raises(FailedFilesError, match="2 of 4 files failed"):
            events.x.compute()
    events = sxl.from_servicex(half_failed, form=FORM, max_failed=0.5)
    with pytest.warns(FailedFilesWarning):
        found = events.x.compute()
    assert len(found) == 20


def test_too_many_failed_files_end_all_waits_at_once(
    scheduler, failing_service, inputs, until, in_thread
):
    service = failing_service
    request_id = service.submit(inputs, tree="events", manual=True)
    events = sxl.from_servicex(request_id, form=FORM, max_failed=0.25)
    service.traffic.reset()
    result = in_thread(lambda: caught(events.x.compute))
    until(lambda: service.traffic.calls["status"])
    service.release(request_id, 0, 2)
    assert isinstance(error := result(), FailedFilesError)
    assert "more than max_failed=0.25" in str(error)


@pytest.mark.parametrize("max_failed", [-0.1, 1.1, "some", None])
def test_bounds_that_are_none(scheduler, max_failed):
    with pytest.raises(InvalidArgumentError, match="max_failed"):
        sxl.from_servicex("a-request", form=FORM, max_failed=max_failed)
    with pytest.raises(InvalidArgumentError, match="'raise' allows no failed file"):
        sxl.SXFileLayer("a-request", 3, on_failed="raise", max_failed=0.1)
