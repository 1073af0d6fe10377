"""If anything fails, the result is right or the error says what to do: see `docs/faults.md`."""

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
from wire_faults import (  # type: ignore[import-not-found]
    Answer,
    Cut,
    HangUp,
    MissingKey,
    WireFault,
    WireFaults,
    WrongLength,
    redirect,
    retry_after,
)

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

FORM = "{x: float64, n: int32, v: var * float64}"
ROUTES = ("info", "token", "status", "results", "file-urls", "file")

pytestmark = [
    pytest.mark.dask_awkward,
    pytest.mark.parametrize("scheduler", ["threads", "cluster_of_processes"], indirect=True),
]


@pytest.fixture
def failing_service(use_service, inputs):
    """Start a ServiceX at which two files of four fail."""
    with LocalServiceX(authentication=True, faults=Faults(failing=frozenset({0, 2}))) as service:
        use_service(service)
        yield service


@pytest.fixture
def settings(scheduler, request):
    """Change settings, also on the workers."""
    with contextlib.ExitStack() as stack:

        def change(**values):
            changed = {
                f"servicex-layer.{name.replace('_', '-')}": value for name, value in values.items()
            }
            before = {name: dask.config.get(name) for name in changed}
            stack.enter_context(dask.config.set(changed))
            if scheduler.startswith("cluster"):
                client = default_client()
                client.run(dask.config.set, changed)
                stack.callback(client.run, dask.config.set, before)

        yield change


def all_x(inputs, indices=None):
    indices = range(len(inputs)) if indices is None else indices
    return [100.0 * index + x for index in indices for x in range(10)]


def compute_x(request_id):
    return sorted(sxl.from_servicex(request_id, form=FORM).x.compute().tolist())


def call(service, method, path):
    refresh = service.servicex_yaml.read_text().partition("token:")[2].split()[0]
    url = f"{service.url}/token/refresh"
    token = httpx.post(url, headers={"Authorization": f"Bearer {refresh}"}).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    httpx.request(method, service.url + path, headers=headers).raise_for_status()


# Transient faults


@pytest.mark.parametrize(
    "effect",
    [
        *(Answer(status) for status in (408, 429, 502, 503, 504)),
        # With a message of ServiceX itself it would be final.
        Answer(500, ""),
        Answer(502, "<h1>Bad Gateway</h1>", "text/html"),
        HangUp(),
        Cut(10),
        WrongLength(7),
    ],
    ids=str,
)
def test_a_transient_fault_changes_nothing(
    scheduler, service, wire_faults, finished, inputs, effect
):
    request_id = finished(inputs[:1])
    faults = [WireFault(route=route, effect=effect, first=1) for route in ROUTES]
    with wire_faults.inject(*faults):
        assert compute_x(request_id) == all_x(inputs[:1])
    assert all(service.traffic.calls[route] > 1 for route in ROUTES)


def test_delays_change_nothing(scheduler, service, finished, inputs):
    request_id = finished(inputs)
    with service.inject(*(HttpFault(route=route, first=1, delay=0.2) for route in ROUTES)):
        assert compute_x(request_id) == all_x(inputs)


def test_a_server_that_asks_for_a_pause_gets_it(scheduler, service, finished, inputs):
    request_id = finished(inputs)
    start = time.monotonic()
    with service.inject(HttpFault(route="results", status=429, retry_after=1, first=1)):
        assert compute_x(request_id) == all_x(inputs)
    assert time.monotonic() - start >= 1


def test_a_rate_limit_changes_nothing(scheduler, service, wire_faults, finished, inputs):
    request_id = finished(inputs)
    with wire_faults.inject(WireFault(route="file", effect=retry_after(1), above=1)):
        assert compute_x(request_id) == all_x(inputs)
    assert service.traffic.calls["file"] > 4


def test_a_tenth_of_all_calls_fails(scheduler, service, wire_faults, finished, inputs):
    effects = (Answer(503), HangUp(), Cut(5))
    request_id = finished(inputs)
    faults = [
        WireFault(route=route, effect=effect, fraction=0.1 / len(effects))
        for route in ROUTES
        for effect in effects
    ]
    with wire_faults.inject(*faults):
        for _ in range(3):
            assert compute_x(request_id) == all_x(inputs)


def test_tokens_and_urls_expire(scheduler, use_service, inputs):
    faults = [
        # A token that expires early, and a URL that expires on its way.
        HttpFault(route="results", status=401, first=1),
        HttpFault(route="file", delay=2.1, ending="input-1.root", first=1),
    ]
    with LocalServiceX(authentication=True, token_lifetime=30, url_lifetime=1) as service:
        use_service(service)
        request_id = service.submit(inputs, tree="events", manual=True)
        service.release(request_id, 0, 1, 2, 3)
        with service.inject(*faults):
            assert compute_x(request_id) == all_x(inputs)
        assert service.traffic.calls["token"] > 2
        assert service.traffic.calls["file-urls"] > 1
        assert service.traffic.calls["file"] > len(inputs)


def test_a_result_appears_in_the_store_after_it_is_reported(scheduler, service, finished, inputs):
    request_id = finished(inputs)
    with service.inject(HttpFault(route="file", status=404, ending="input-2.root", first=2)):
        assert compute_x(request_id) == all_x(inputs)


# Outages


@pytest.fixture
def log_messages():
    """Collect log messages of this process about a backend that doesn't answer."""
    messages = []

    class Handler(logging.Handler):
        def emit(self, record):
            messages.append(record.getMessage())

    handler = Handler()
    logger = logging.getLogger("servicex_layer.backend")
    logger.addHandler(handler)
    yield messages
    logger.removeHandler(handler)


def test_an_outage_is_waited_out(
    scheduler, service, submit, settings, inputs, until, in_thread, log_messages
):
    settings(retry_timeout="300ms", timeout="1 hour")
    request_id = submit(inputs)
    events = sxl.from_servicex(request_id, form=FORM)
    service.traffic.reset()
    result = in_thread(lambda: events.x.compute().tolist())
    until(lambda: service.traffic.calls["status"] > 1)
    with service.outage():
        service.release(request_id, 0, 1, 2, 3)
        # Longer than the retry timeout.
        until(lambda: log_messages)
    assert sorted(result()) == all_x(inputs)
    assert len(log_messages) == 1
    assert service.url in log_messages[0]


def test_an_outage_longer_than_the_timeout(
    scheduler, service, submit, settings, inputs, until, in_thread
):
    settings(retry_timeout="200ms", timeout="1s")
    request_id = submit(inputs)
    events = sxl.from_servicex(request_id, form=FORM)
    service.traffic.reset()
    result = in_thread(lambda: error_of(events.x.compute))
    until(lambda: service.traffic.calls["status"] > 1)
    with service.outage():
        error = result()
    assert isinstance(error, BackendUnreachableError)
    text = rf"{service.url} could not be reached since 20\d\d.* UTC: ConnectError.* Tried \d+ times"
    assert re.search(text, str(error))


def error_of(function):
    try:
        return function()
    except ServiceXLayerError as error:
        return error


def test_an_outage_from_the_start(scheduler, service, settings):
    settings(retry_timeout="300ms", timeout="1 hour")
    with service.outage(), pytest.raises(BackendUnreachableError, match="is the backend up"):
        sxl.from_servicex("a-request", form=FORM)


def test_no_file_finishes(scheduler, submit, settings, inputs):
    settings(timeout="300ms")
    events = sxl.from_servicex(submit(inputs), form=FORM)
    with pytest.raises(WaitTimeoutError, match=r"servicex-layer\.timeout.*0 of 4 files finished"):
        events.x.compute()


# Permanent errors


@pytest.mark.parametrize(
    ("effect", "error", "text"),
    [
        (Answer(400), BackendError, "400: made to fail"),
        (Answer(404), ServiceXLayerError, "made to fail"),
        (Answer(500), BackendError, "500: made to fail"),
        (Answer(401), AuthorizationError, "does not allow"),
        (Answer(403), AuthorizationError, "does not allow"),
        (Answer(body='{"request_id": '), ProtocolError, "no JSON object"),
        (Answer(body="[]"), ProtocolError, "no JSON object"),
        (Answer(200, "<h1>Hello</h1>", "text/html"), ProtocolError, "no JSON object"),
        (redirect("http://far.example/?signature=secret"), BackendError, "redirects to"),
    ],
    ids=str,
)
@pytest.mark.parametrize("route", ["status", "results", "file-urls"])
def test_permanent_errors_are_raised_immediately(
    scheduler, service, wire_faults, finished, inputs, route, effect, error, text
):
    events = sxl.from_servicex(finished(inputs[:1]), form=FORM)
    service.traffic.reset()
    with (
        wire_faults.inject(WireFault(route=route, effect=effect)),
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
def test_missing_keys_are_named(scheduler, wire_faults, finished, inputs, route, key):
    events = sxl.from_servicex(finished(inputs[:1]), form=FORM)
    with (
        wire_faults.inject(WireFault(route=route, effect=MissingKey(key))),
        pytest.raises(ProtocolError, match=key),
    ):
        events.x.compute()


@pytest.mark.parametrize("url", ["file:///etc/passwd", "http://169.254.169.254/a.root"])
def test_urls_of_local_services_are_not_called(scheduler, wire_faults, finished, inputs, url):
    name = str(inputs[0]).replace("/", ":")
    body = json.dumps({"uris": {name: [url, {}, 1e12]}})
    events = sxl.from_servicex(finished(inputs[:1]), form=FORM)
    with (
        wire_faults.inject(WireFault(route="file-urls", effect=Answer(body=body))),
        pytest.raises(ProtocolError, match="is this backend to be trusted"),
    ):
        events.x.compute()


def test_a_rejected_refresh_token_is_an_error(scheduler, use_service, inputs):
    # Tokens expire so soon that each call needs a new one.
    with LocalServiceX(authentication=True, token_lifetime=30) as service:
        use_service(service)
        request_id = service.submit(inputs, tree="events", manual=True)
        events = sxl.from_servicex(request_id, form=FORM)
        service.traffic.reset()
        with (
            service.inject(HttpFault(route="token", status=401)),
            pytest.raises(AuthorizationError, match="rejected the refresh token"),
        ):
            events.x.compute()
        assert service.traffic.calls["token"] == 1


@pytest.mark.parametrize("url", ["file:///etc/passwd", "http://169.254.169.254/a.root"])
def test_redirects_to_local_services_are_not_followed(
    scheduler, wire_faults, finished, inputs, url
):
    events = sxl.from_servicex(finished(inputs[:1]), form=FORM)
    with (
        wire_faults.inject(WireFault(route="file", effect=redirect(url))),
        pytest.raises(ProtocolError, match="is this backend to be trusted") as info,
    ):
        events.x.compute()
    assert "signature" not in str(info.value)


# Results


def test_a_forbidden_result_is_named(scheduler, service, finished, inputs):
    events = sxl.from_servicex(finished(inputs), form=FORM)
    with (
        service.inject(HttpFault(route="file", status=403, ending="input-2.root")),
        pytest.raises(MissingObjectError, match=r"input-2\.root.*403") as info,
    ):
        events.x.compute()
    assert "signature" not in str(info.value)


@pytest.mark.parametrize(
    ("effect", "error"),
    [
        (Answer(404), MissingObjectError),
        (Answer(503), MissingObjectError),
        (HangUp(), MissingObjectError),
        (Cut(100), CorruptResultError),
        (WrongLength(5), CorruptResultError),
        (WrongLength(-5), CorruptResultError),
    ],
    ids=str,
)
def test_a_result_that_never_arrives_in_full_is_named(
    scheduler, wire_faults, finished, settings, inputs, effect, error
):
    settings(retry_timeout="200ms")
    request_id = finished(inputs)
    events = sxl.from_servicex(request_id, form=FORM)
    with (
        wire_faults.inject(WireFault(route="file", effect=effect, ending="input-2.root")),
        pytest.raises(error, match=rf"input-2\.root' of request {request_id}") as info,
    ):
        events.x.compute()
    assert "signature" not in str(info.value)


def test_headers_of_a_url_stay_with_its_host(scheduler, use_service, inputs):
    received = []
    faults = WireFaults()

    class Handler(http_server.BaseHTTPRequestHandler):
        def do_GET(self):
            received.append(dict(self.headers))
            self.send_error(400)

        def log_message(self, *_):
            pass

    with (
        http_server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as elsewhere,
        LocalServiceX(
            authentication=True,
            file_headers={"X-Secret": "a-header"},
            middleware=faults.middleware,
        ) as service,
    ):
        use_service(service)
        request_id = service.submit(inputs[:1], tree="events", manual=True)
        service.release(request_id, 0)
        thread = threading.Thread(target=elsewhere.serve_forever, args=(0.01,))
        thread.start()
        # The same machine under another name.
        target = f"http://localhost:{elsewhere.server_address[1]}/a"
        with (
            faults.inject(WireFault(route="file", effect=redirect(target))),
            pytest.raises(MissingObjectError, match="400"),
        ):
            compute_x(request_id)
        elsewhere.shutdown()
        thread.join()
    assert received
    assert not [headers for headers in received if {"X-Secret", "Authorization"} & {*headers}]


# How a request ends


@pytest.fixture
def half_finished(service, submit, inputs):
    """Submit a request and finish half its files."""
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
def test_a_failed_request_is_an_error_for_all_waiting_partitions_and_keeps_finished_files(
    scheduler, service, half_finished, inputs, until, in_thread, end, error, text
):
    events = sxl.from_servicex(half_finished, form=FORM)
    service.traffic.reset()
    result = in_thread(lambda: error_of(lambda: compute(*events.x.partitions[2:].to_delayed())))
    until(lambda: service.traffic.calls["results"])
    end(service, half_finished)
    assert isinstance(result(), error)
    for number in (2, 3):
        with pytest.raises(error, match=rf"{half_finished} ended as .*{text}"):
            events.x.partitions[number].compute()
    assert sorted(events.x.partitions[:2].compute().tolist()) == all_x(inputs, (1, 3))


def test_a_bad_dataset_is_an_error(scheduler, service):
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


def test_a_request_deleted_while_it_runs_is_an_error(
    scheduler, service, wire_faults, half_finished, until, in_thread
):
    # ServiceX deletes no running request, but an operator can.
    message = f"Transformation request not found with id: '{half_finished}'"
    faults = [
        WireFault(route="status", effect=Answer(404, json.dumps({"message": message}))),
        WireFault(route="results", effect=Answer(body='{"results": []}')),
    ]
    events = sxl.from_servicex(half_finished, form=FORM)
    service.traffic.reset()
    result = in_thread(lambda: error_of(events.x.partitions[3].compute))
    until(lambda: service.traffic.calls["results"])
    with wire_faults.inject(*faults):
        error = result()
    assert isinstance(error, UnknownRequestError)
    assert re.search(rf"{half_finished} was deleted .* Running: 2 of 4 files finished", str(error))


@pytest.fixture
def half_failed(failing_service, inputs):
    """Finish a request of which half the files fail."""
    request_id = failing_service.submit(inputs, tree="events", manual=True)
    failing_service.release(request_id, 0, 1, 2, 3)
    return request_id


def test_failed_files_are_one_warning(scheduler, half_failed):
    events = sxl.from_servicex(half_failed, form=FORM)
    with pytest.warns(FailedFilesWarning, match=r"2 of 4 files failed.*input-") as records:
        partitions = compute(*events.x.to_delayed())
    assert [len(partition) for partition in partitions] == [10, 10, 0, 0]
    assert [record.category for record in records].count(FailedFilesWarning) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(events.n.compute()) == 20


def test_failed_files_can_be_an_error(scheduler, half_failed):
    for bounds in ({"on_failed": "raise"}, {"max_failed": 0.25}, {"max_failed": 0.0}):
        events = sxl.from_servicex(half_failed, form=FORM, **bounds)
        with pytest.raises(FailedFilesError, match="2 of 4 files failed"):
            events.x.compute()
    events = sxl.from_servicex(half_failed, form=FORM, max_failed=0.5)
    with pytest.warns(FailedFilesWarning):
        assert len(events.x.compute()) == 20


def test_too_many_failed_files_end_all_waits_at_once(
    scheduler, failing_service, inputs, until, in_thread
):
    service = failing_service
    request_id = service.submit(inputs, tree="events", manual=True)
    events = sxl.from_servicex(request_id, form=FORM, max_failed=0.25)
    service.traffic.reset()
    result = in_thread(lambda: error_of(events.x.compute))
    until(lambda: service.traffic.calls["status"])
    service.release(request_id, 0, 2)
    assert isinstance(error := result(), FailedFilesError)
    assert "more than max_failed=0.25" in str(error)


@pytest.mark.parametrize("max_failed", [-0.1, 1.1, "some", None])
def test_invalid_bounds_are_rejected(scheduler, max_failed):
    with pytest.raises(InvalidArgumentError, match="max_failed"):
        sxl.from_servicex("a-request", form=FORM, max_failed=max_failed)
    with pytest.raises(InvalidArgumentError, match="with 'raise' no file may fail"):
        sxl.SXFileLayer("a-request", 3, on_failed="raise", max_failed=0.1)
