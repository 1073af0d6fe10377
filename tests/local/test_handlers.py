"""The embedded ServiceX answers as a ServiceX server does, over real HTTP."""

from __future__ import annotations

import itertools
import json
import time
from datetime import UTC, datetime, timedelta

import awkward as ak
import httpx
import jwt
import numpy as np
import pytest
import uproot
import yaml

from servicex_layer.local import Faults, FileCall, LocalServiceX

TRANSFORMATION = "/servicex/transformation"
SELECTION = '[{"treename": "events"}]'


def write_input(path, first=0):
    with uproot.recreate(path) as file:
        jets = ak.Array([[1.0, 2.0], [], [3.0]])
        file.mktree("events", {"x": np.arange(3.0) + first, "jet": jets})
    return path


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    directory = tmp_path_factory.mktemp("in puts")
    names = ["a b.root", "50%25.root", "a:b=*+?#&.root.1", "µ.root", "e.root"]
    return [write_input(directory / name, 10 * n) for n, name in enumerate(names)]


@pytest.fixture(scope="module")
def service():
    with LocalServiceX() as service:
        yield service


@pytest.fixture(scope="module")
def client(service):
    with httpx.Client(base_url=service.url, trust_env=False) as client:
        yield client


def get_status(client, request_id):
    return client.get(f"{TRANSFORMATION}/{request_id}").raise_for_status().json()


def wait_until_terminal(client, request_id, seconds=30):
    deadline = time.monotonic() + seconds
    while (status := get_status(client, request_id))["finish-time"] == "None":
        assert time.monotonic() < deadline, status
        time.sleep(0.02)
    return status


def get_rows(client, request_id, **params):
    answer = client.get(f"{TRANSFORMATION}/{request_id}/results", params=params)
    return answer.raise_for_status().json()["results"]


def get_urls(client, request_id, names):
    body = {"request_id": request_id, "file_list": names, "scheme": "http"}
    return client.post(f"{TRANSFORMATION}/file-urls", json=body).raise_for_status().json()["uris"]


@pytest.fixture(scope="module")
def finished(service, client, inputs):
    request_id = service.submit(inputs, tree="events", columns=["jet"], title="five")
    wait_until_terminal(client, request_id)
    return request_id


def submission(**changes):
    body = {
        "title": "t",
        "file-list": [],
        "selection": SELECTION,
        "codegen": "uproot-raw",
        "result-destination": "object-store",
        "result-format": "root-file",
        "client-version": "3.3.1",
    }
    return {key: value for key, value in {**body, **changes}.items() if value is not ...}


def post(client, files):
    """Submit input files that need not exist."""
    body = submission(**{"file-list": [str(file) for file in files]})
    return client.post(TRANSFORMATION, json=body).raise_for_status().json()["request_id"]


def test_info(client):
    info = client.get("/servicex").json()
    assert set(info) == {"app-version", "code-gen-image", "capabilities"}
    assert "uproot-raw" in info["code-gen-image"]
    assert set(info["capabilities"]) == {
        "poll_local_transformation_results",
        "generate_file_urls",
        "post_cancel_transform",
    }


def test_status_of_a_finished_request(client, finished):
    status = get_status(client, finished)
    assert set(status) == {
        *("request_id", "did", "did_id", "title", "selection", "tree-name", "image", "workers"),
        *("result-destination", "result-format", "generated-code-cm", "status", "failure-info"),
        *("app-version", "code-gen-image", "files", "files-completed", "files-failed"),
        *("files-remaining", "submit-time", "finish-time", "log-url"),
    }
    assert status["request_id"] == finished
    assert status["status"] == "Complete"
    assert status["title"] == "five"
    counts = [status[f"files{suffix}"] for suffix in ("", "-completed", "-failed", "-remaining")]
    assert counts == [5, 5, 0, 0]
    times = [
        datetime.strptime(status[key], "%Y-%m-%dT%H:%M:%S.%f%z")
        for key in ("submit-time", "finish-time")
    ]
    assert times[0] < times[1]
    assert status in client.get(TRANSFORMATION).json()["requests"]


def test_rows_of_a_finished_request(client, finished, inputs):
    rows = get_rows(client, finished)
    assert {row["file-path"] for row in rows} == {str(path) for path in inputs}
    assert len({row["id"] for row in rows}) == 5
    for row in rows:
        assert set(row) == {
            *("id", "request-id", "file-id", "file-path", "s3-object-name", "transform_status"),
            *("transform_time", "total-events", "total-bytes", "avg-rate", "created_at"),
        }
        assert row["request-id"] == finished
        assert row["s3-object-name"] == row["file-path"].replace("/", ":")
        assert row["transform_status"] == "success"
        assert row["total-events"] == 3
        assert datetime.fromisoformat(row["created_at"]).tzinfo is None


def test_rows_come_in_no_particular_order(client, finished):
    orders = {tuple(row["id"] for row in get_rows(client, finished)) for _ in range(20)}
    assert len(orders) > 1


def test_later_than_is_strict(client, finished):
    times = sorted(row["created_at"] for row in get_rows(client, finished))
    for n, time_ in enumerate(times):
        assert (
            sorted(row["created_at"] for row in get_rows(client, finished, later_than=time_))
            == times[n + 1 :]
        )


def test_later_than_with_a_zone(client, finished):
    created = [datetime.fromisoformat(row["created_at"]) for row in get_rows(client, finished)]
    newest = max(created).replace(tzinfo=UTC)
    assert get_rows(client, finished, later_than=newest.isoformat()) == []
    before = newest - timedelta(microseconds=1)
    assert len(get_rows(client, finished, later_than=before.isoformat())) == 1


@pytest.mark.parametrize(
    "query",
    [
        "later_than=yesterday",
        "later_than=2026-11-22T19:45:00+00:00",
        "later_than=2026-13-22T19:45:00",
        "later_than=2026-11-22T19:45:00Z",
        "later_than=2026-11-22T19:45:00.123",
        "later_than=2026-11-22T19:45:00.1234567",
    ],
)
def test_a_time_that_cannot_be_parsed_is_a_bad_request(client, finished, query):
    answer = client.get(f"{TRANSFORMATION}/{finished}/results?{query}")
    assert answer.status_code == 400
    assert "later_than" in answer.json()["message"]


def test_results_hold_the_selected_columns(client, finished, tmp_path):
    rows = {row["s3-object-name"]: row for row in get_rows(client, finished)}
    urls = get_urls(client, finished, list(rows))
    assert set(urls) == set(rows)
    for name, (url, headers, expiry) in urls.items():
        assert headers == {}
        assert abs(expiry - time.time() - 3600) < 60
        content = httpx.get(url, trust_env=False).raise_for_status().content
        assert len(content) == rows[name]["total-bytes"]
        path = tmp_path / "result.root"
        path.write_bytes(content)
        with uproot.open(path) as file:
            assert file.keys() == ["events;1"]
            assert file["events"].keys() == ["njet", "jet"]
            assert file["events"]["jet"].array().tolist() == [[1, 2], [], [3]]


def test_uproot_reads_a_result_by_its_url(client, finished, inputs):
    row = next(row for row in get_rows(client, finished) if row["file-path"] == str(inputs[2]))
    ((url, _, _),) = get_urls(client, finished, [row["s3-object-name"]]).values()
    with uproot.open({url: "events"}, handler=uproot.source.http.HTTPSource) as tree:
        assert tree["jet"].array().tolist() == [[1, 2], [], [3]]


@pytest.fixture(scope="module")
def result(client, finished):
    name = get_rows(client, finished)[0]["s3-object-name"]
    url = get_urls(client, finished, [name])[name][0]
    return name, url, client.get(url).content


@pytest.mark.parametrize(
    ("byte_range", "part"),
    [
        ("bytes=0-3", slice(0, 4)),
        ("bytes=100-199", slice(100, 200)),
        ("bytes=-10", slice(-10, None)),
        ("bytes=50-", slice(50, None)),
        ("bytes=0-999999999", slice(0, None)),
    ],
)
def test_a_byte_range_is_partial_content(client, result, byte_range, part):
    _, url, content = result
    answer = client.get(url, headers={"Range": byte_range})
    assert answer.status_code == 206
    assert answer.content == content[part]
    start, end, _ = part.indices(len(content))
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{len(content)}"
    assert answer.headers["content-length"] == str(end - start)


def test_several_byte_ranges_are_multipart(client, result):
    _, url, content = result
    answer = client.get(url, headers={"Range": "bytes=0-3, 100-109"})
    assert answer.status_code == 206
    assert answer.headers["content-type"].startswith("multipart/byteranges")
    assert content[:4] in answer.content
    assert content[100:110] in answer.content


def test_a_range_beyond_the_end_is_not_satisfiable(client, result):
    _, url, content = result
    answer = client.get(url, headers={"Range": f"bytes={len(content)}-"})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{len(content)}"


def test_whole_results_and_their_headers(client, result):
    _, url, content = result
    whole = client.get(url)
    head = client.head(url)
    assert head.content == b""
    for answer in (whole, head):
        assert answer.status_code == 200
        assert answer.headers["accept-ranges"] == "bytes"
        assert answer.headers["content-length"] == str(len(content))
        assert answer.headers["etag"] == whole.headers["etag"]
    part = client.get(url, headers={"Range": "bytes=0-3", "If-Range": whole.headers["etag"]})
    assert part.status_code == 206


def test_urls_are_valid_only_as_signed(client, finished, result):
    _, url, _ = result
    parsed = httpx.URL(url)
    later = str(int(parsed.params["expires"]) + 1)
    other = get_urls(client, finished, ["other"])["other"][0]
    for invalid in (
        parsed.copy_set_param("expires", later),
        parsed.copy_set_param("signature", "0" * 64),
        parsed.copy_remove_param("signature"),
        parsed.copy_with(query=None),
        parsed.copy_with(query=httpx.URL(other).query),
    ):
        assert client.get(invalid).status_code == 403, invalid
    assert client.get(other).status_code == 404


def test_traffic_counts_calls_rows_and_bytes(service, client, finished, result):
    name, url, content = result
    service.traffic.reset()
    client.get(url, headers={"Range": "bytes=0-9"})
    client.head(url)
    client.get(url)
    get_status(client, finished)
    get_rows(client, finished)
    client.get(f"{TRANSFORMATION}/nope")
    assert service.traffic.calls == {"file": 3, "status": 2, "results": 1}
    assert service.traffic.rows == 5
    assert service.traffic.bytes == 10 + len(content)
    assert service.traffic.files == [
        FileCall("GET", name, "bytes=0-9"),
        FileCall("HEAD", name, None),
        FileCall("GET", name, None),
    ]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"{TRANSFORMATION}/nope"),
        ("GET", f"{TRANSFORMATION}/nope/cancel"),
        ("POST", f"{TRANSFORMATION}/nope/cancel"),
        ("DELETE", f"{TRANSFORMATION}/nope"),
        ("GET", "/servicex/datasets/999"),
        ("GET", "/nowhere"),
    ],
)
def test_unknown_paths_are_not_found(client, method, path):
    answer = client.request(method, path)
    assert answer.status_code == 404
    assert answer.json()["message"]


def test_urls_of_an_unknown_request_are_not_found(client):
    answer = client.post(
        f"{TRANSFORMATION}/file-urls", json={"request_id": "nope", "file_list": ["a"]}
    )
    assert answer.status_code == 404
    assert "nope" in answer.json()["message"]


def test_an_unknown_request_has_no_rows(client):
    assert get_rows(client, "nope") == []


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"selection": ...}, 400),
        ({"selection": "nonsense"}, 400),
        ({"selection": [{"treename": "t"}]}, 400),
        ({"file-list": ...}, 400),
        ({"file-list": "a.root"}, 400),
        ({"file-list": [1]}, 400),
        ({"file-list": ["\ud800"]}, 400),
        ({"did": "rucio://a:b"}, 400),
        ({"did": 1, "file-list": ...}, 400),
        ({"title": 1}, 400),
        ({"result-format": "hdf5"}, 400),
        ({"result-destination": "moon"}, 400),
        ({"codegen": ...}, 400),
        ({"codegen": "atlasr25"}, 500),
    ],
)
def test_malformed_submissions_are_rejected(client, changes, status):
    content = json.dumps(submission(**changes)).encode()
    answer = client.post(TRANSFORMATION, content=content)
    assert answer.status_code == status
    assert answer.json()["message"]


@pytest.mark.parametrize("content", [b"", b"nonsense", b"[]", b"\xff"])
@pytest.mark.parametrize("path", [TRANSFORMATION, f"{TRANSFORMATION}/file-urls"])
def test_bodies_must_be_json_objects(client, path, content):
    answer = client.post(path, content=content)
    assert answer.status_code == 400
    assert answer.json()["message"]


def test_a_request_without_files_is_complete(client):
    request_id = client.post(TRANSFORMATION, json=submission()).json()["request_id"]
    status = wait_until_terminal(client, request_id)
    assert status["status"] == "Complete"
    assert status["files"] == 0
    assert status["files-remaining"] is None


def test_an_unknown_dataset_is_a_bad_dataset(client):
    body = submission(**{"did": "rucio://user.me:nothing", "file-list": ...})
    request_id = client.post(TRANSFORMATION, json=body).json()["request_id"]
    status = wait_until_terminal(client, request_id)
    assert status["status"] == "Bad Dataset"
    assert "rucio://user.me:nothing" in status["failure-info"]
    dataset = client.get(f"/servicex/datasets/{status['did_id']}").json()
    assert dataset["lookup_status"] == "does_not_exist"
    assert dataset["n_files"] == 0


def test_a_dataset_has_a_number_of_files(client, finished):
    did_id = get_status(client, finished)["did_id"]
    dataset = client.get(f"/servicex/datasets/{did_id}").json()
    assert dataset["lookup_status"] == "complete"
    assert dataset["n_files"] == 5


def test_broken_and_missing_inputs_are_failures(client, inputs, tmp_path):
    broken = tmp_path / "broken.root"
    broken.write_bytes(b"nonsense")
    files = [tmp_path / "missing.root", broken, inputs[0]]
    request_id = post(client, files)
    status = wait_until_terminal(client, request_id)
    assert status["status"] == "Complete"
    assert (status["files-completed"], status["files-failed"]) == (1, 2)
    rows = {row["file-path"]: row for row in get_rows(client, request_id)}
    for path in files[:2]:
        row = rows[str(path)]
        assert row["transform_status"] == "failure"
        assert row["s3-object-name"] == "none"
        assert row["total-events"] == row["total-bytes"] == 0


def test_the_same_input_twice_has_two_rows_and_one_object(service, client, inputs):
    request_id = service.submit([*inputs[:3], *inputs[:2]], tree="events")
    assert wait_until_terminal(client, request_id)["files-completed"] == 5
    rows = get_rows(client, request_id)
    names = {row["s3-object-name"] for row in rows}
    assert len(rows) == 5
    assert names == {str(path).replace("/", ":") for path in inputs[:3]}
    for url, _, _ in get_urls(client, request_id, list(names)).values():
        assert client.get(url).status_code == 200
    client.delete(f"{TRANSFORMATION}/{request_id}").raise_for_status()
    assert not list(service.servicex_yaml.parent.glob(f"results-*/{request_id}*"))


def test_a_status_can_be_read_by_number(client, finished):
    status = get_status(client, finished)
    assert get_status(client, status["did_id"]) == status
    assert client.get(f"{TRANSFORMATION}/999999").status_code == 404


def test_the_reasons_of_failed_files_are_in_the_status_and_in_the_log(client, tmp_path):
    missing, broken = tmp_path / "missing.root", tmp_path / "broken.root"
    broken.write_bytes(b"nonsense")
    request_id = post(client, [missing, broken])
    status = wait_until_terminal(client, request_id)
    log = client.get(status["log-url"])
    assert log.headers["content-type"].startswith("text/plain")
    lines = dict(line.split(": ", 1) for line in log.text.splitlines())
    assert lines.keys() == {str(missing), str(broken)}
    assert "FileNotFoundError" in lines[str(missing)]
    for path, reason in lines.items():
        assert f"{path}: {reason}" in status["failure-info"]


def test_the_status_names_ten_reasons_and_the_log_all(client, inputs):
    faults = Faults(failing=1.0)
    with (
        LocalServiceX(faults=faults) as service,
        httpx.Client(base_url=service.url, trust_env=False) as failing_client,
    ):
        request_id = post(failing_client, ["/a.root"] * 12)
        status = wait_until_terminal(failing_client, request_id)
        log = failing_client.get(status["log-url"]).text
        assert failing_client.get("/logs/nope").status_code == 404
    assert status["failure-info"].count("/a.root: made to fail") == 10
    assert status["failure-info"].endswith("; and 2 more")
    assert log == "/a.root: made to fail\n" * 12


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_cancel_ends_a_running_request(service, client, inputs, method):
    request_id = service.submit(inputs, tree="events", manual=True)
    assert client.request(method, f"{TRANSFORMATION}/{request_id}/cancel").status_code == 200
    status = get_status(client, request_id)
    assert status["status"] == "Canceled"
    assert status["finish-time"] != "None"
    again = client.request(method, f"{TRANSFORMATION}/{request_id}/cancel")
    assert again.status_code == 400
    assert "Canceled" in again.json()["message"]


def test_files_in_flight_complete_a_canceled_request(inputs):
    with (
        LocalServiceX(parallelism=1) as service,
        httpx.Client(base_url=service.url, trust_env=False) as client,
    ):
        request_id = service.submit(inputs, tree="events", manual=True)
        service.release(request_id, 4)  # transformed last
        client.post(f"{TRANSFORMATION}/{request_id}/cancel").raise_for_status()
        service.release(request_id, 0, 1)
        status = get_status(client, request_id)
        assert (status["status"], status["files-completed"]) == ("Canceled", 3)
        assert len(get_rows(client, request_id)) == 3
        service.release(request_id, 2, 3)
        status = get_status(client, request_id)
        assert (status["status"], status["files-completed"]) == ("Complete", 5)


def test_cancel_reports_files_in_flight_and_drops_the_others(inputs):
    with (
        LocalServiceX(delay=600, parallelism=1) as service,
        httpx.Client(base_url=service.url, trust_env=False) as client,
    ):
        results = next(service.servicex_yaml.parent.glob("results-*"))
        deadline = time.monotonic() + 30
        for count in (1, 2):  # the first cancel frees the slot
            request_id = service.submit(inputs[:3], tree="events")
            while len(list(results.iterdir())) < count:  # until a file has the slot
                assert time.monotonic() < deadline
                time.sleep(0.02)
            client.post(f"{TRANSFORMATION}/{request_id}/cancel").raise_for_status()
            while not get_rows(client, request_id):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            status = get_status(client, request_id)
            assert (status["status"], status["files-completed"]) == ("Canceled", 1)


def test_a_running_request_is_not_deleted(service, client, inputs):
    request_id = service.submit(inputs, tree="events", manual=True)
    answer = client.delete(f"{TRANSFORMATION}/{request_id}")
    assert answer.status_code == 400
    assert "in progress" in answer.json()["message"]
    client.post(f"{TRANSFORMATION}/{request_id}/cancel").raise_for_status()
    assert client.delete(f"{TRANSFORMATION}/{request_id}").status_code == 200


def test_delete_removes_a_request_and_its_files(service, client, inputs):
    request_id = service.submit(inputs, tree="events")
    wait_until_terminal(client, request_id)
    name = get_rows(client, request_id)[0]["s3-object-name"]
    url = get_urls(client, request_id, [name])[name][0]
    assert client.get(url).status_code == 200
    assert client.delete(f"{TRANSFORMATION}/{request_id}").status_code == 200
    assert client.delete(f"{TRANSFORMATION}/{request_id}").status_code == 404
    assert client.get(f"{TRANSFORMATION}/{request_id}").status_code == 404
    assert client.get(url).status_code == 404
    assert get_rows(client, request_id) == []
    assert not list(service.servicex_yaml.parent.glob(f"results-*/{request_id}*"))


def test_ids_grow_with_holes_across_requests(service, client, inputs):
    ids = []
    for _ in range(3):
        request_id = service.submit(inputs, tree="events")
        wait_until_terminal(client, request_id)
        ids.append(sorted(row["id"] for row in get_rows(client, request_id)))
    assert ids[0][-1] < ids[1][0]
    assert ids[1][-1] < ids[2][0]
    assert ids[2][-1] - ids[0][0] >= 15


def test_files_are_transformed_while_the_lookup_finds_more(inputs):
    with (
        LocalServiceX(lookup_time=1.5, parallelism=1) as service,
        httpx.Client(base_url=service.url, trust_env=False) as client,
    ):
        wait_until_terminal(client, service.submit(inputs[:1], tree="events"))  # starts the process
        request_id = service.submit(inputs * 4, tree="events")
        seen = []
        status = get_status(client, request_id)
        while status["finish-time"] == "None":
            seen.append(status)
            status = get_status(client, request_id)
        assert status["files"] == status["files-completed"] == 20
    files = [status["files"] for status in seen]
    assert files == sorted(files)
    assert len(set(files)) > 10
    lookup = [status for status in seen if status["status"] == "Lookup"]
    assert any(status["files-completed"] for status in lookup)
    assert all(status["files"] < 20 for status in lookup[:-1])
    assert all((status["files-remaining"] is None) == (status["files"] == 0) for status in seen)


def test_a_row_is_visible_before_it_is_counted_and_complete_comes_last(service, client, inputs):
    request_id = service.submit(inputs * 10, tree="events")
    is_complete = False
    while not is_complete:
        status = get_status(client, request_id)
        is_complete = status["status"] == "Complete"
        rows = get_rows(client, request_id)
        assert len(rows) >= status["files-completed"]
        assert not is_complete or len(rows) == status["files-completed"] == 50


def test_a_file_takes_at_least_the_delay(inputs):
    with (
        LocalServiceX(delay=0.5, parallelism=1) as service,
        httpx.Client(base_url=service.url, trust_env=False) as client,
    ):
        request_id = service.submit(inputs[:3], tree="events")
        wait_until_terminal(client, request_id)
        rows = get_rows(client, request_id)
    created = sorted(datetime.fromisoformat(row["created_at"]) for row in rows)
    for earlier, later in itertools.pairwise(created):
        assert 0.44 < (later - earlier).total_seconds() < 5
    assert all(row["transform_time"] >= 0.45 for row in rows)


# Authentication


@pytest.fixture(scope="module")
def guarded_service():
    with LocalServiceX(
        authentication=True, token_lifetime=120, file_headers={"X-Store": "s3"}
    ) as service:
        yield service


@pytest.fixture
def anonymous(guarded_service):
    with httpx.Client(base_url=guarded_service.url, trust_env=False) as client:
        yield client


@pytest.fixture
def refresh_token(guarded_service):
    (endpoint,) = yaml.safe_load(guarded_service.servicex_yaml.read_text())["api_endpoints"]
    return endpoint["token"]


def authorized(token):
    return {"Authorization": f"Bearer {token}"}


def test_a_refresh_token_gives_an_access_token(anonymous, refresh_token):
    answer = anonymous.post("/token/refresh", headers=authorized(refresh_token))
    token = answer.json()["access_token"]
    expiry = jwt.decode(token, options={"verify_signature": False})["exp"]
    assert 60 < expiry - time.time() < 130
    assert anonymous.get(TRANSFORMATION, headers=authorized(token)).status_code == 200


def test_calls_without_a_token_are_unauthorized(anonymous, refresh_token):
    for headers in (
        {},
        {"Authorization": "Bearer"},
        {"Authorization": refresh_token},
    ):
        for answer in (
            anonymous.post("/token/refresh", headers=headers),
            anonymous.get(TRANSFORMATION, headers=headers),
        ):
            assert answer.status_code == 401
            assert "token" in answer.json()["message"]


def test_invalid_tokens_are_unprocessable(anonymous, refresh_token):
    answer = anonymous.post("/token/refresh", headers=authorized(refresh_token))
    access_token = answer.json()["access_token"]
    foreign = jwt.encode({"type": "access", "exp": 1 << 40}, "k" * 32, algorithm="HS256")
    for token in ("garbled", "x.y.z", foreign, refresh_token):
        answer = anonymous.get(TRANSFORMATION, headers=authorized(token))
        assert answer.status_code == 422
        assert answer.json().keys() == {"msg"}
    for token in ("garbled", access_token):
        answer = anonymous.post("/token/refresh", headers=authorized(token))
        assert answer.status_code == 422
        assert answer.json().keys() == {"msg"}


@pytest.mark.parametrize(
    ("method", "path", "is_public"),
    [
        ("GET", "/servicex", True),
        ("GET", TRANSFORMATION, False),
        ("POST", TRANSFORMATION, False),
        ("GET", f"{TRANSFORMATION}/a", False),
        ("DELETE", f"{TRANSFORMATION}/a", False),
        ("GET", f"{TRANSFORMATION}/a/results", False),
        ("POST", f"{TRANSFORMATION}/a/cancel", False),
        ("POST", f"{TRANSFORMATION}/file-urls", False),
        ("GET", "/servicex/datasets/1", False),
    ],
)
def test_most_routes_need_a_token(anonymous, method, path, is_public):
    assert (anonymous.request(method, path).status_code != 401) == is_public


def test_headers_that_come_with_a_url_must_be_sent(
    guarded_service, anonymous, refresh_token, inputs
):
    answer = anonymous.post("/token/refresh", headers=authorized(refresh_token)).json()
    anonymous.headers.update(authorized(answer["access_token"]))
    request_id = guarded_service.submit(inputs[:1], tree="events")
    wait_until_terminal(anonymous, request_id)
    (row,) = get_rows(anonymous, request_id)
    ((url, headers, _),) = get_urls(anonymous, request_id, [row["s3-object-name"]]).values()
    assert headers == {"X-Store": "s3"}
    assert httpx.get(url, trust_env=False).status_code == 403
    assert httpx.get(url, headers=headers, trust_env=False).status_code == 200


def test_expired_tokens_and_urls_are_rejected():
    with LocalServiceX(authentication=True, token_lifetime=0, url_lifetime=0) as service:
        (endpoint,) = yaml.safe_load(service.servicex_yaml.read_text())["api_endpoints"]
        with httpx.Client(base_url=service.url, trust_env=False) as client:
            token = client.post("/token/refresh", headers=authorized(endpoint["token"])).json()
            client.headers.update(authorized(token["access_token"]))
            deadline = time.monotonic() + 10
            while client.get(TRANSFORMATION).status_code == 200:  # lifetimes count in whole seconds
                assert time.monotonic() < deadline
                time.sleep(0.05)
            answer = client.get(TRANSFORMATION)
            assert answer.status_code == 401
            assert answer.json() == {"msg": "Token has expired"}
