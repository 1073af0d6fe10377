"""What the embedded ServiceX says on the wire."""

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

from servicex_layer.local import FileCall, LocalServiceX
from servicex_layer.local._clock import Clock
from servicex_layer.local._token_issuer import TokenIssuer
from servicex_layer.local._url_signer import UrlSigner

ONE = "/servicex/transformation"
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
    return client.get(f"{ONE}/{request_id}").raise_for_status().json()


def wait_until_over(client, request_id, seconds=30):
    deadline = time.monotonic() + seconds
    while (status := get_status(client, request_id))["finish-time"] == "None":
        assert time.monotonic() < deadline, status
        time.sleep(0.02)
    return status


def get_rows(client, request_id, **params):
    answer = client.get(f"{ONE}/{request_id}/results", params=params)
    return answer.raise_for_status().json()["results"]


def get_urls(client, request_id, names):
    body = {"request_id": request_id, "file_list": names, "scheme": "http"}
    return client.post(f"{ONE}/file-urls", json=body).raise_for_status().json()["uris"]


@pytest.fixture(scope="module")
def finished(service, client, inputs):
    request_id = service.submit(inputs, tree="events", columns=["jet"], title="five")
    wait_until_over(client, request_id)
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
        *("files-remaining", "submit-time", "finish-time"),
    }
    assert status["request_id"] == finished
    assert status["status"] == "Complete"
    assert status["title"] == "five"
    counts = [status[f"files{which}"] for which in ("", "-completed", "-failed", "-remaining")]
    assert counts == [5, 5, 0, 0]
    times = [
        datetime.strptime(status[which], "%Y-%m-%dT%H:%M:%S.%f%z")
        for which in ("submit-time", "finish-time")
    ]
    assert times[0] < times[1]
    assert status in client.get(ONE).json()["requests"]


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
    for text in (newest.isoformat(), newest.isoformat().replace("+00:00", "Z")):
        assert get_rows(client, finished, later_than=text) == []
    before = newest - timedelta(microseconds=1)
    assert len(get_rows(client, finished, later_than=before.isoformat())) == 1


@pytest.mark.parametrize("query", ["later_than=yesterday", "later_than=2026-11-22T19:45:00+00:00"])
def test_times_that_cannot_be_parsed(client, finished, query):
    answer = client.get(f"{ONE}/{finished}/results?{query}")
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
    ("asked", "part"),
    [
        ("bytes=0-3", slice(0, 4)),
        ("bytes=100-199", slice(100, 200)),
        ("bytes=-10", slice(-10, None)),
        ("bytes=50-", slice(50, None)),
        ("bytes=0-999999999", slice(0, None)),
    ],
)
def test_byte_ranges(client, result, asked, part):
    _, url, content = result
    answer = client.get(url, headers={"Range": asked})
    assert answer.status_code == 206
    assert answer.content == content[part]
    start, end, _ = part.indices(len(content))
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{len(content)}"
    assert answer.headers["content-length"] == str(end - start)


def test_several_byte_ranges(client, result):
    _, url, content = result
    answer = client.get(url, headers={"Range": "bytes=0-3, 100-109"})
    assert answer.status_code == 206
    assert answer.headers["content-type"].startswith("multipart/byteranges")
    assert content[:4] in answer.content
    assert content[100:110] in answer.content


def test_a_range_beyond_the_end(client, result):
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


def test_urls_are_good_only_as_signed(client, finished, result):
    _, url, _ = result
    parsed = httpx.URL(url)
    later = str(int(parsed.params["expires"]) + 1)
    other = get_urls(client, finished, ["other"])["other"][0]
    for wrong in (
        parsed.copy_set_param("expires", later),
        parsed.copy_set_param("signature", "0" * 64),
        parsed.copy_remove_param("signature"),
        parsed.copy_with(query=None),
        parsed.copy_with(query=httpx.URL(other).query),
    ):
        assert client.get(wrong).status_code == 403, wrong
    assert client.get(other).status_code == 404


def test_traffic(service, client, finished, result):
    name, url, content = result
    service.traffic.reset()
    client.get(url, headers={"Range": "bytes=0-9"})
    client.head(url)
    client.get(url)
    get_status(client, finished)
    get_rows(client, finished)
    client.get(f"{ONE}/nope")
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
        ("GET", f"{ONE}/nope"),
        ("GET", f"{ONE}/nope/cancel"),
        ("POST", f"{ONE}/nope/cancel"),
        ("DELETE", f"{ONE}/nope"),
        ("GET", "/servicex/datasets/999"),
        ("GET", "/nowhere"),
    ],
)
def test_what_is_unknown_is_not_found(client, method, path):
    answer = client.request(method, path)
    assert answer.status_code == 404
    assert answer.json()["message"]


def test_urls_of_an_unknown_request(client):
    answer = client.post(f"{ONE}/file-urls", json={"request_id": "nope", "file_list": ["a"]})
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
def test_submissions_that_are_not_accepted(client, changes, status):
    content = json.dumps(submission(**changes)).encode()
    answer = client.post(ONE, content=content)
    assert answer.status_code == status
    assert answer.json()["message"]


@pytest.mark.parametrize("content", [b"", b"nonsense", b"[]", b"\xff"])
@pytest.mark.parametrize("path", [ONE, f"{ONE}/file-urls"])
def test_bodies_that_are_no_json_objects(client, path, content):
    answer = client.post(path, content=content)
    assert answer.status_code == 400
    assert answer.json()["message"]


def test_a_request_of_no_files_is_complete(client):
    request_id = client.post(ONE, json=submission()).json()["request_id"]
    status = wait_until_over(client, request_id)
    assert status["status"] == "Complete"
    assert status["files"] == 0
    assert status["files-remaining"] is None


def test_a_dataset_that_does_not_exist(client):
    asked = submission(**{"did": "rucio://user.me:nothing", "file-list": ...})
    request_id = client.post(ONE, json=asked).json()["request_id"]
    status = wait_until_over(client, request_id)
    assert status["status"] == "Bad Dataset"
    assert "rucio://user.me:nothing" in status["failure-info"]
    dataset = client.get(f"/servicex/datasets/{status['did_id']}").json()
    assert dataset["lookup_status"] == "does_not_exist"
    assert dataset["n_files"] == 0


def test_a_dataset(client, finished):
    did_id = get_status(client, finished)["did_id"]
    dataset = client.get(f"/servicex/datasets/{did_id}").json()
    assert dataset["lookup_status"] == "complete"
    assert dataset["n_files"] == 5


def test_files_that_cannot_be_transformed_are_failures(service, client, inputs, tmp_path):
    broken = tmp_path / "broken.root"
    broken.write_bytes(b"nonsense")
    files = [tmp_path / "missing.root", broken, inputs[0]]
    request_id = service.submit(files, tree="events")
    status = wait_until_over(client, request_id)
    assert status["status"] == "Complete"
    assert (status["files-completed"], status["files-failed"]) == (1, 2)
    rows = {row["file-path"]: row for row in get_rows(client, request_id)}
    for path in files[:2]:
        row = rows[str(path)]
        assert row["transform_status"] == "failure"
        assert row["s3-object-name"] == "none"
        assert row["total-events"] == row["total-bytes"] == 0


def test_the_same_input_several_times(service, client, inputs):
    request_id = service.submit([inputs[0]] * 3, tree="events")
    wait_until_over(client, request_id)
    names = {row["s3-object-name"] for row in get_rows(client, request_id)}
    assert len(names) == 3
    for url, _, _ in get_urls(client, request_id, list(names)).values():
        assert client.get(url).status_code == 200


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_cancel(service, client, inputs, method):
    request_id = service.submit(inputs, tree="events", manual=True)
    assert client.request(method, f"{ONE}/{request_id}/cancel").status_code == 200
    status = get_status(client, request_id)
    assert status["status"] == "Canceled"
    assert status["finish-time"] != "None"
    again = client.request(method, f"{ONE}/{request_id}/cancel")
    assert again.status_code == 400
    assert "Canceled" in again.json()["message"]


def test_delete_forgets_a_request_and_its_files(service, client, inputs):
    request_id = service.submit(inputs, tree="events")
    wait_until_over(client, request_id)
    name = get_rows(client, request_id)[0]["s3-object-name"]
    url = get_urls(client, request_id, [name])[name][0]
    assert client.get(url).status_code == 200
    assert client.delete(f"{ONE}/{request_id}").status_code == 200
    assert client.delete(f"{ONE}/{request_id}").status_code == 404
    assert client.get(f"{ONE}/{request_id}").status_code == 404
    assert client.get(url).status_code == 404
    assert get_rows(client, request_id) == []
    assert not list(service.servicex_yaml.parent.glob(f"results-*/{request_id}*"))


def test_ids_grow_with_holes_across_requests(service, client, inputs):
    ids = []
    for _ in range(3):
        request_id = service.submit(inputs, tree="events")
        wait_until_over(client, request_id)
        ids.append(sorted(row["id"] for row in get_rows(client, request_id)))
    assert ids[0][-1] < ids[1][0]
    assert ids[1][-1] < ids[2][0]
    assert ids[2][-1] - ids[0][0] >= 15


def test_files_are_transformed_while_the_lookup_finds_more(inputs):
    with (
        LocalServiceX(lookup_time=1.5, parallelism=1) as service,
        httpx.Client(base_url=service.url, trust_env=False) as client,
    ):
        wait_until_over(client, service.submit(inputs[:1], tree="events"))  # starts the process
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
    over = False
    while not over:
        status = get_status(client, request_id)
        over = status["status"] == "Complete"
        rows = get_rows(client, request_id)
        assert len(rows) >= status["files-completed"]
        assert not over or len(rows) == status["files-completed"] == 50


def test_delay_is_the_least_time_of_a_file(inputs):
    with (
        LocalServiceX(delay=0.5, parallelism=1) as service,
        httpx.Client(base_url=service.url, trust_env=False) as client,
    ):
        request_id = service.submit(inputs[:3], tree="events")
        wait_until_over(client, request_id)
        rows = get_rows(client, request_id)
    created = sorted(datetime.fromisoformat(row["created_at"]) for row in rows)
    for one, next_ in itertools.pairwise(created):
        assert 0.44 < (next_ - one).total_seconds() < 5
    assert all(row["transform_time"] >= 0.45 for row in rows)


def test_cancel_frees_the_slots(inputs):
    with (
        LocalServiceX(delay=600, parallelism=1) as service,
        httpx.Client(base_url=service.url, trust_env=False) as client,
    ):
        request_id = service.submit(inputs[:1], tree="events")
        results = next(service.servicex_yaml.parent.glob("results-*"))
        deadline = time.monotonic() + 30
        while not list(results.iterdir()):  # it has the slot
            assert time.monotonic() < deadline
            time.sleep(0.02)
        client.post(f"{ONE}/{request_id}/cancel").raise_for_status()
        while list(results.iterdir()):  # it has not any more
            assert time.monotonic() < deadline
            time.sleep(0.02)


# Authentication


@pytest.fixture(scope="module")
def guarded():
    with LocalServiceX(
        authentication=True, token_lifetime=120, file_headers={"X-Store": "s3"}
    ) as service:
        yield service


@pytest.fixture
def stranger(guarded):
    with httpx.Client(base_url=guarded.url, trust_env=False) as client:
        yield client


@pytest.fixture
def refresh_token(guarded):
    (endpoint,) = yaml.safe_load(guarded.servicex_yaml.read_text())["api_endpoints"]
    return endpoint["token"]


def authorized(token):
    return {"Authorization": f"Bearer {token}"}


def test_a_refresh_token_gives_an_access_token(stranger, refresh_token):
    answer = stranger.post("/token/refresh", headers=authorized(refresh_token))
    token = answer.json()["access_token"]
    expiry = jwt.decode(token, options={"verify_signature": False})["exp"]
    assert 60 < expiry - time.time() < 130
    assert stranger.get(ONE, headers=authorized(token)).status_code == 200


def test_other_tokens_are_rejected(stranger, refresh_token):
    access_token = stranger.post("/token/refresh", headers=authorized(refresh_token)).json()[
        "access_token"
    ]
    forged = jwt.encode({"type": "access", "exp": 1 << 40}, "k" * 32, algorithm="HS256")
    for headers in (
        {},
        {"Authorization": "Bearer"},
        authorized("x.y.z"),
        {"Authorization": refresh_token},
    ):
        assert stranger.post("/token/refresh", headers=headers).status_code == 401
        assert stranger.get(ONE, headers=headers).status_code == 401
    assert stranger.post("/token/refresh", headers=authorized(access_token)).status_code == 401
    for token in (refresh_token, forged):
        answer = stranger.get(ONE, headers=authorized(token))
        assert answer.status_code == 401
        assert "token" in answer.json()["message"]


@pytest.mark.parametrize(
    ("method", "path", "open_to_all"),
    [
        ("GET", "/servicex", True),
        ("GET", ONE, False),
        ("POST", ONE, False),
        ("GET", f"{ONE}/a", False),
        ("DELETE", f"{ONE}/a", False),
        ("GET", f"{ONE}/a/results", False),
        ("POST", f"{ONE}/a/cancel", False),
        ("POST", f"{ONE}/file-urls", False),
        ("GET", "/servicex/datasets/1", False),
    ],
)
def test_what_needs_a_token(stranger, method, path, open_to_all):
    assert (stranger.request(method, path).status_code != 401) == open_to_all


def test_headers_of_urls_must_be_sent(guarded, stranger, refresh_token, inputs):
    answer = stranger.post("/token/refresh", headers=authorized(refresh_token)).json()
    stranger.headers.update(authorized(answer["access_token"]))
    request_id = guarded.submit(inputs[:1], tree="events")
    wait_until_over(stranger, request_id)
    (row,) = get_rows(stranger, request_id)
    ((url, headers, _),) = get_urls(stranger, request_id, [row["s3-object-name"]]).values()
    assert headers == {"X-Store": "s3"}
    assert httpx.get(url, trust_env=False).status_code == 403
    assert httpx.get(url, headers=headers, trust_env=False).status_code == 200


def test_tokens_and_signatures_expire_by_the_servers_clock():
    clock = Clock()
    tokens, signer = TokenIssuer(clock, 100), UrlSigner(clock, 100)
    token = tokens.access_token()
    path, expires = signer.sign("/a b")
    assert path.startswith("/a%20b?")
    signature = httpx.URL(path).params["signature"]
    assert tokens.is_valid(token, "access")
    assert signer.is_valid("/a b", str(expires), signature)
    clock.offset = 102
    assert not tokens.is_valid(token, "access")
    assert not signer.is_valid("/a b", str(expires), signature)
    assert tokens.is_valid(tokens.refresh_token(), "refresh")


def test_expired_tokens_and_urls_are_rejected():
    with LocalServiceX(authentication=True, token_lifetime=0, url_lifetime=0) as service:
        (endpoint,) = yaml.safe_load(service.servicex_yaml.read_text())["api_endpoints"]
        with httpx.Client(base_url=service.url, trust_env=False) as client:
            token = client.post("/token/refresh", headers=authorized(endpoint["token"])).json()
            client.headers.update(authorized(token["access_token"]))
            deadline = time.monotonic() + 10
            while client.get(ONE).status_code == 200:  # lifetimes count in whole seconds
                assert time.monotonic() < deadline
                time.sleep(0.05)
            assert client.get(ONE).status_code == 401
