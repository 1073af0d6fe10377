from __future__ import annotations

import asyncio
import json

import pytest

from servicex_layer._config import find_backend
from servicex_layer._model import Backend, TransformStatus
from servicex_layer.backend import (
    RequestStatus,
    cancel_request,
    get_log,
    get_status,
    list_files,
    list_requests,
    rest_client,
)
from servicex_layer.errors import BackendError, ProtocolError, UnknownRequestError
from servicex_layer.local import Faults, LocalServiceX


def test_status_and_files_in_order_of_completion(service, finished, inputs):
    request_id = finished(inputs)
    backend = find_backend(config_path=service.servicex_yaml)
    status, rows = asyncio.run(list_files(backend, request_id))
    assert status.status == "Complete"
    assert [row.file.input for row in rows] == [str(path) for path in inputs]


def test_an_unknown_request_is_an_error_not_an_empty_list(service):
    backend = find_backend(config_path=service.servicex_yaml)
    with pytest.raises(UnknownRequestError):
        asyncio.run(list_files(backend, "unknown"))


def test_a_backend_that_lists_no_files_is_an_error(serve):
    body = b'{"request_id": "a", "status": "Running", "files": 1, "files-completed": 0, '
    body += b'"files-failed": 0}'
    backend = Backend("old", serve(lambda *_: (200, body, {})))
    with pytest.raises(BackendError, match="old does not list which files of request a"):
        asyncio.run(list_files(backend, "a"))


STATUS = {"request_id": "a", "status": "Running", "files": 3, "files-completed": 1}


def answers(**by_path):
    """Answer calls by the last part of their path."""

    def answer(_method, path):
        body = by_path[path.partition("?")[0].rpartition("/")[2]]
        code = 200 if isinstance(body, dict) else body
        return code, json.dumps(body).encode(), {}

    return answer


def test_a_status_names_the_failed_inputs_in_the_order_of_failure(use_service, inputs):
    with LocalServiceX(faults=Faults(failing={0, 2})) as service:
        use_service(service)
        request_id = service.submit(inputs, tree="events", manual=True)
        for index in (2, 1, 0):
            service.release(request_id, index)
        backend = find_backend()
        status = asyncio.run(get_status(rest_client(backend), request_id))
        again = asyncio.run(get_status(rest_client(backend), request_id, status))
        assert service.traffic.calls["results"] == 1
    assert status.failed_inputs == (str(inputs[2]), str(inputs[0]))
    assert (status.state, status.finished, status.failed) == ("Running", 1, 2)
    assert again == status


def test_a_backend_that_lists_no_files_only_counts_the_failed(serve):
    content = STATUS | {"files-failed": 2}
    backend = Backend("old", serve(answers(a=content, servicex={})))
    status = asyncio.run(get_status(rest_client(backend), "a"))
    assert (status.failed, status.failed_inputs) == (2, ())


@pytest.mark.parametrize("refusal", [400, 404, 409])
def test_a_request_that_ended_before_it_was_canceled_is_no_error(serve, refusal):
    content = STATUS | {"status": "Fatal", "files-failed": 0}
    backend = Backend("far", serve(answers(a=content, cancel=refusal)))
    assert asyncio.run(cancel_request(rest_client(backend), "a")).state == "Fatal"


def test_a_refusal_to_cancel_a_running_request_is_an_error(serve):
    content = STATUS | {"files-failed": 0}
    backend = Backend("far", serve(answers(a=content, cancel=409)))
    with pytest.raises(BackendError, match=r"far at .* did not cancel request a \(409: "):
        asyncio.run(cancel_request(rest_client(backend), "a"))


def test_requests_are_listed_from_the_newest_to_the_oldest(serve):
    times = {
        "old": "2026-11-22T19:45:00.5Z",
        "unknown": "None",
        "new": "2026-11-23T10:00:00.123456Z",
    }
    requests = [
        STATUS | {"files-failed": 0, "request_id": name, "submit-time": time}
        for name, time in times.items()
    ]
    backend = Backend("far", serve(answers(transformation={"requests": requests})))
    listed = asyncio.run(list_requests(backend))
    assert [each.request_id for each in listed] == ["new", "old", "unknown"]


def test_a_list_of_requests_must_be_a_list(serve):
    backend = Backend("far", serve(answers(transformation={"requests": 5})))
    with pytest.raises(ProtocolError, match="requests that are not a list"):
        asyncio.run(list_requests(backend))


@pytest.mark.parametrize(
    "answer",
    [
        (200, b"<html></html>", {"Content-Type": "text/html"}),
        (404, b"gone", {"Content-Type": "text/plain"}),
    ],
)
def test_a_log_that_is_no_text_is_not_read(serve, answer):
    url = serve(lambda _method, path: answer if path == "/logs/a" else (200, status(), {}))

    def status():
        return json.dumps(STATUS | {"files-failed": 0, "log-url": f"{url}/logs/a"}).encode()

    _, text = asyncio.run(get_log(Backend("far", url), "a"))
    assert text is None


def test_a_log_of_another_server_is_not_requested(serve):
    content = STATUS | {"files-failed": 0, "log-url": "https://logs.example/a"}
    backend = Backend("far", serve(answers(a=content)))
    state, text = asyncio.run(get_log(backend, "a"))
    assert (state.log_url, text) == ("https://logs.example/a", None)


def test_the_state_of_a_bad_dataset_has_the_reason_of_its_lookup():
    backend = Backend("far", "https://far.example")
    bad = TransformStatus(
        "a", "Bad Dataset", 0, 0, 0, failure_info="no\n such name.", lookup="bad_name"
    )
    reason = RequestStatus.of(backend, bad).reason
    assert reason == "no such name. The lookup of its dataset ended with bad_name."
