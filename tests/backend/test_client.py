from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime

import pytest

from servicex_layer.backend import RestClient
from servicex_layer.errors import AuthorizationError, ProtocolError, UnknownRequestError

STATUS = {
    "request_id": "a",
    "status": "Running",
    "files": 1,
    "files-completed": 0,
    "files-failed": 0,
}
ROW = {
    "id": 1,
    "created_at": "2026-11-22T19:45:00",
    "s3-object-name": "a.root",
    "file-path": "in.root",
    "transform_status": "success",
}


def json_answer(content, status=200):
    return lambda *_: (status, json.dumps(content).encode(), {})


# The embedded ServiceX


def test_status_and_results_of_a_request(client, service, submit, inputs, call):
    request_id = submit(inputs)
    early, late = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    service.release(request_id, 0, created_at=early)
    service.release(request_id, 1, 2, created_at=late)
    status = call(client, lambda rest: rest.status(request_id))
    assert (status.files, status.completed, status.failed, status.is_terminal) == (4, 3, 0, False)
    rows = call(client, lambda rest: rest.results(request_id))
    assert sorted(row.file.created_at for row in rows) == [early, late, late]
    assert all(row.success and row.file.events == 10 for row in rows)
    assert len(call(client, lambda rest: rest.results(request_id, early))) == 2
    assert call(client, lambda rest: rest.results(request_id, late)) == []
    service.release(request_id, 3)
    assert call(client, lambda rest: rest.status(request_id)).status == "Complete"


def test_capabilities(client, call):
    assert "generate_file_urls" in call(client, RestClient.capabilities)


def test_a_server_of_2024_has_no_capabilities(client_of, call):
    assert call(client_of(json_answer({})), RestClient.capabilities) == frozenset()


def test_an_unknown_request_has_no_status_and_no_results(client, call):
    with pytest.raises(UnknownRequestError, match="'a-request'"):
        call(client, lambda rest: rest.status("a-request"))
    assert call(client, lambda rest: rest.results("a-request")) == []


# Answers that are not those of a ServiceX server


@pytest.mark.parametrize(
    "body", [b"", b"<html></html>", b"[]", b"{}", b'{"results": 5}', b'{"results": [{"id": 1}]}']
)
def test_a_body_of_another_server_is_an_error(client_of, call, body):
    rest = client_of(lambda *_: (200, body, {}))
    with pytest.raises(ProtocolError):
        call(rest, lambda rest: rest.results("a"))
    with pytest.raises(ProtocolError):
        call(rest, lambda rest: rest.status("a"))


def test_deeply_nested_json_is_an_error(client_of, call):
    rest = client_of(lambda *_: (200, b"[" * 100_000, {}))
    with pytest.raises(ProtocolError, match="no JSON object"):
        call(rest, RestClient.capabilities)


@pytest.mark.parametrize("names", ["one", {"one": 1}, 5])
def test_capabilities_must_be_a_list(client_of, call, names):
    rest = client_of(json_answer({"capabilities": names}))
    with pytest.raises(ProtocolError, match="capabilities that are not a list"):
        call(rest, RestClient.capabilities)


def test_a_status_or_results_of_another_request_are_an_error(client_of, call):
    def answer(_method, path):
        content = STATUS | {"request_id": "b"}
        if path.endswith("/results"):
            content = {"results": [ROW | {"request-id": "b"}]}
        return 200, json.dumps(content).encode(), {}

    rest = client_of(answer)
    with pytest.raises(ProtocolError, match="asked for request a and answered with b"):
        call(rest, lambda rest: rest.status("a"))
    with pytest.raises(ProtocolError, match="another request than a"):
        call(rest, lambda rest: rest.results("a"))


@pytest.mark.parametrize("status", [401, 403])
def test_a_forbidden_call_is_an_authorization_error(client_of, call, status):
    def answer(_method, path):
        if path == "/token/refresh":
            return 200, b'{"access_token": "secret"}', {}
        return status, b'{"message": "not yours"}', {}

    rest = client_of(answer, token="secret")
    with pytest.raises(AuthorizationError, match=f"far at .*{status}: not yours") as caught:
        call(rest, lambda rest: rest.status("a"))
    assert "secret" not in f"{caught.value} {rest!r}"


# Request ids and URLs


def test_a_request_id_is_quoted_in_the_path(client_of, call):
    paths = []

    def answer(_method, path):
        paths.append(path)
        return 404, b"{}", {}

    with pytest.raises(UnknownRequestError):
        call(client_of(answer), lambda rest: rest.status("../../token/refresh?a=b"))
    assert paths == ["/servicex/transformation/..%2F..%2Ftoken%2Frefresh%3Fa%3Db"]


def test_signed_urls_have_headers_and_an_expiry(client_of, call):
    uris = {"a.root": ["https://store.example/a", {"X-Key": "1"}, 1e12]}
    rest = client_of(json_answer({"uris": uris}))
    location = call(rest, lambda rest: rest.file_urls("a", ["a.root"]))["a.root"]
    assert (location.url, location.headers, location.expires) == (
        "https://store.example/a",
        {"X-Key": "1"},
        1e12,
    )


@pytest.mark.parametrize("url", ["file:///etc/passwd", "http://169.254.169.254/", "a.root"])
def test_an_unsafe_url_is_refused(client_of, call, url):
    rest = client_of(json_answer({"uris": {"a.root": [url, {}, 1e12]}}))
    with pytest.raises(ProtocolError, match=r"'a\.root' of request a.*trusted"):
        call(rest, lambda rest: rest.file_urls("a", ["a.root"]))


@pytest.mark.parametrize(
    "uris",
    [
        None,
        [],
        {"a.root": "https://store.example/a"},
        {"a.root": ["https://store.example/a", {"X-Key": "a\nb"}, 1]},
        {"a.root": ["https://store.example/a", {}, "soon"]},
    ],
)
def test_malformed_uris_are_an_error(client_of, call, uris):
    rest = client_of(json_answer({"uris": uris}))
    with pytest.raises(ProtocolError, match="uris"):
        call(rest, lambda rest: rest.file_urls("a", ["a.root"]))


# Datasets


@pytest.mark.parametrize("dataset", [(200, {"lookup_status": "does_not_exist"}), (404, {})])
def test_the_status_of_a_bad_dataset_has_the_reason(client_of, call, dataset):
    paths = []

    def answer(_method, path):
        paths.append(path)
        if path == "/servicex/datasets/7":
            return dataset[0], json.dumps(dataset[1]).encode(), {}
        return 200, json.dumps(STATUS | {"status": "Bad Dataset", "did_id": 7}).encode(), {}

    status = call(client_of(answer), lambda rest: rest.status("a"))
    assert status.is_terminal
    assert status.lookup == dataset[1].get("lookup_status", "")
    assert len(paths) == 2


class Dataset:
    """A backend with one request, and its dataset."""

    def __init__(self, statuses, dataset, dataset_status=200):
        self.statuses = iter(statuses)
        self.dataset = dataset
        self.dataset_status = dataset_status
        self.dataset_calls = 0

    def __call__(self, _method, path):
        if path.startswith("/servicex/datasets/"):
            self.dataset_calls += 1
            return self.dataset_status, json.dumps(self.dataset).encode(), {}
        name, files = next(self.statuses)
        content = {"status": name, "files": files, "files-completed": files, "did_id": 7}
        return 200, json.dumps(STATUS | content).encode(), {}


@pytest.mark.parametrize(
    ("dataset", "text"),
    [
        ({"n_files": 5, "lookup_status": "complete"}, "Complete with 2 files, .* has 5"),
        ({"n_files": 0, "lookup_status": "looking"}, "still being looked up"),
    ],
)
def test_a_request_that_completes_without_all_files_is_an_error(client_of, call, dataset, text):
    rest = client_of(Dataset([("Lookup", 2), ("Complete", 2), ("Complete", 2)], dataset))
    assert call(rest, lambda rest: rest.status("a")).status == "Lookup"
    for _ in range(2):
        with pytest.raises(ProtocolError, match=f"far at .* request a too early: .*{text}"):
            call(rest, lambda rest: rest.status("a"))


def test_the_dataset_of_a_complete_request_is_checked_once(client_of, call):
    server = Dataset([("Complete", 2)] * 3, {"n_files": 2, "lookup_status": "complete"})
    rest = client_of(server)
    for _ in range(3):
        assert call(rest, lambda rest: rest.status("a")).status == "Complete"
    assert server.dataset_calls == 1


def test_the_dataset_is_not_checked_if_the_lookup_was_seen_to_end(client_of, call):
    server = Dataset([("Running", 2), ("Complete", 2)], {"n_files": 2})
    rest = client_of(server)
    for _ in range(2):
        call(rest, lambda rest: rest.status("a"))
    assert server.dataset_calls == 0


def test_the_requests_whose_dataset_was_checked_are_remembered_within_bounds(client_of, call):
    checked: Counter[str] = Counter()

    def answer(_method, path):
        number = path.rpartition("/")[2]
        if path.startswith("/servicex/datasets/"):
            checked[number] += 1
            return 200, b"{}", {}
        status = STATUS | {"request_id": number, "status": "Complete", "did_id": int(number)}
        return 200, json.dumps(status).encode(), {}

    async def fetch_all(rest):
        for number in [*range(1200), 1199, 0]:
            await rest.status(str(number))

    call(client_of(answer), fetch_all)
    assert checked["1199"] == 1
    assert checked["0"] == 2, "the oldest was forgotten"


@pytest.mark.parametrize(
    ("dataset", "dataset_status"),
    [({}, 404), ({"message": "odd"}, 500), ({}, 200), ({"n_files": None}, 200), ([], 200)],
)
def test_a_server_that_says_nothing_about_the_dataset_is_trusted(
    client_of, call, dataset, dataset_status
):
    rest = client_of(Dataset([("Complete", 2)], dataset, dataset_status))
    assert call(rest, lambda rest: rest.status("a")).status == "Complete"


# Rows


def test_only_the_transform_status_says_whether_a_file_failed(client_of, call):
    rows = [
        ROW | {"transform_status": "failure", "total-bytes": 100},
        ROW | {"id": 2, "s3-object-name": "b.root", "total-bytes": 0},
    ]
    rest = client_of(json_answer({"results": rows}))
    parsed = call(rest, lambda rest: rest.results("a"))
    assert [(row.file.name, row.success) for row in parsed] == [("a.root", False), ("b.root", True)]
