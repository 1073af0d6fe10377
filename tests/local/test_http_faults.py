"""What goes wrong between a client and the embedded ServiceX, over real HTTP."""

from __future__ import annotations

import concurrent.futures
import contextlib
import logging
import time

import httpx
import numpy as np
import pytest
import uproot

from servicex_layer.errors import BackendUnreachableError, InvalidArgumentError, ProtocolError
from servicex_layer.local import Faults, FileCall, HttpFault, LocalServiceX
from servicex_layer.local._traffic import ROUTES

ONE = "/servicex/transformation"
CUT = "peer closed connection without sending complete message body"


@pytest.fixture
def start(caplog):
    """Start a service with faults; nothing is logged, whatever happens to the calls."""
    with contextlib.ExitStack() as stack, caplog.at_level(logging.WARNING):

        def start(*faults, **options):
            service = LocalServiceX(faults=Faults(http=faults), parallelism=1, **options)
            stack.enter_context(service)
            client = httpx.Client(base_url=service.url, trust_env=False)
            return service, stack.enter_context(client)

        yield start
    assert not caplog.records


def call_all(client, count, path="/servicex"):
    return [client.get(path).status_code for _ in range(count)]


# Which calls


def test_the_first_calls(start):
    service, client = start(HttpFault(route="info", status=503, first=2))
    assert call_all(client, 4) == [503, 503, 200, 200]
    assert service.traffic.calls == {"info": 4}


def test_each_nth_call(start):
    _, client = start(HttpFault(route="info", status=429, every=3))
    assert call_all(client, 7) == [200, 200, 429, 200, 200, 429, 200]


def test_every_call_of_one_route_only(start):
    _, client = start(HttpFault(route="list", status=500))
    assert call_all(client, 3, ONE) == [500, 500, 500]
    assert call_all(client, 1) == [200]


def test_a_fraction_of_the_calls_by_the_seed(start):
    fault = HttpFault(route="info", status=502, fraction=0.3)
    runs = [call_all(start(fault, seed=seed)[1], 60) for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]
    assert all(8 < run.count(502) < 28 for run in runs)


def test_the_first_fault_that_befalls_a_call_is_the_only_one(start):
    _, client = start(
        HttpFault(route="info", delay=0.01),
        HttpFault(route="info", status=503, first=2),
        HttpFault(route="info", status=404, first=1),
        HttpFault(route="info", status=500, every=2),
    )
    assert call_all(client, 6) == [503, 503, 404, 200, 500, 200]


def test_counting_starts_anew_with_the_server():
    service = LocalServiceX(faults=Faults(http=[HttpFault(route="info", status=503, first=1)]))
    for _ in range(2):
        with service:
            statuses = [
                httpx.get(f"{service.url}/servicex", trust_env=False).status_code for _ in range(2)
            ]
        assert statuses == [503, 200]


# What happens to them


@pytest.mark.parametrize("retry_after", [7, "Sun, 22 Nov 2026 23:00:00 GMT"])
def test_a_status_with_retry_after(start, retry_after):
    _, client = start(HttpFault(route="info", status=429, retry_after=retry_after))
    answer = client.get("/servicex")
    assert answer.headers["retry-after"] == str(retry_after)
    assert answer.json() == {"message": "made to fail"}
    assert "date" in answer.headers


def test_a_fault_comes_before_authorization(start):
    _, client = start(HttpFault(route="list", status=503, first=1), authentication=True)
    assert call_all(client, 2, ONE) == [503, 401]


def test_what_is_answered_in_place_of_the_server_does_not_happen(start):
    _, client = start(HttpFault(route="submit", status=500, first=1))
    body = {
        "selection": '[{"treename": "t"}]',
        "codegen": "uproot-raw",
        "file-list": [],
    }
    assert client.post(ONE, json=body).status_code == 500
    assert client.get(ONE).json()["requests"] == []
    assert client.post(ONE, json=body).status_code == 200
    assert len(client.get(ONE).json()["requests"]) == 1


def test_garbage_and_html_instead_of_json(start):
    html = "<html><h1>502 Bad Gateway</h1></html>"
    _, client = start(
        HttpFault(route="info", body='{"app-version": ', first=1),
        HttpFault(route="info", body="{}", first=1),
        HttpFault(route="info", body=html, content_type="text/html", status=502, first=1),
    )
    garbage, empty, page = (client.get("/servicex") for _ in range(3))
    assert (garbage.status_code, garbage.text) == (200, '{"app-version": ')
    assert garbage.headers["content-type"] == "application/json"
    assert empty.json() == {}
    assert (page.status_code, page.text) == (502, html)
    assert page.headers["content-type"] == "text/html"


def test_delays_do_not_add_up_over_connections(start):
    _, client = start(HttpFault(route="info", delay=0.5))
    started = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(client.get, ["/servicex"] * 8))
    assert 0.5 <= time.monotonic() - started < 3
    assert all(answer.json()["capabilities"] for answer in answers)


def test_a_delayed_call_keeps_its_body(start):
    _, client = start(HttpFault(route="file-urls", delay=0.05))
    answer = client.post(f"{ONE}/file-urls", json={"request_id": "nope", "file_list": []})
    assert "nope" in answer.json()["message"]


def test_the_server_stops_in_the_middle_of_a_delay(start):
    service, client = start(HttpFault(route="info", delay=600))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        answer = pool.submit(client.get, "/servicex", timeout=60)
        while not service.traffic.calls["info"]:
            time.sleep(0.01)
        started = time.monotonic()
        service.stop()
        assert time.monotonic() - started < 0.9
        assert isinstance(answer.exception(), httpx.TransportError)


def test_json_that_is_cut_or_of_the_wrong_length(start):
    _, client = start(
        HttpFault(route="info", cut=10, first=1),
        HttpFault(route="info", wrong_length=5, first=1),
        HttpFault(route="info", wrong_length=-5, first=1),
        HttpFault(route="info", wrong_length=-(10**6), first=1),
        HttpFault(route="info", cut=10**6, first=1),
        HttpFault(route="info", cut=0, status=503, first=1),
    )
    for _ in range(2):
        with pytest.raises(httpx.RemoteProtocolError, match=CUT):
            client.get("/servicex")
    short, empty, whole = (client.get("/servicex").content for _ in range(3))
    assert short == whole[:-5]
    assert empty == b""
    with client.stream("GET", "/servicex") as answer:
        assert answer.status_code == 503
        with pytest.raises(httpx.RemoteProtocolError, match=CUT):
            answer.read()
    assert client.get("/servicex").content == whole


def test_submit_says_what_befell_it(start):
    service, client = start(
        HttpFault(route="submit", status=503, first=1),
        HttpFault(route="submit", body="<html>", first=1),
    )
    query = {"tree": "t", "manual": True}
    with pytest.raises(InvalidArgumentError, match="made to fail"):
        service.submit([], **query)
    with pytest.raises(ProtocolError, match="nonsense"):
        service.submit([], **query)
    query["manual"] = False
    request_id = service.submit(["/nope.root"], **query)
    while client.get(f"{ONE}/{request_id}").json()["status"] != "Complete":
        time.sleep(0.01)


def test_the_connection_is_dropped(start):
    service, client = start(HttpFault(route="info", hang_up=True, first=2))
    for _ in range(2):
        with pytest.raises(httpx.RemoteProtocolError, match="disconnected"):
            client.get("/servicex")
    assert call_all(client, 1) == [200]
    assert service.traffic.calls == {"info": 3}


def test_all_but_the_first_calls(start):
    _, client = start(
        HttpFault(route="info", status=503, skip=2),
        HttpFault(route="list", status=503, skip=1, first=2),
    )
    assert call_all(client, 4) == [200, 200, 503, 503]
    assert call_all(client, 5, ONE) == [200, 503, 503, 200, 200]


def test_a_rate_limit(start):
    _, client = start(HttpFault(route="info", status=429, retry_after=1, above=5))
    statuses = call_all(client, 12)
    assert statuses[:5] == [200] * 5
    assert 429 in statuses
    limited = client.get("/servicex")
    while limited.status_code == 429:
        assert limited.headers["retry-after"] == "1"
        time.sleep(0.05)
        limited = client.get("/servicex")
    assert limited.status_code == 200


@pytest.mark.parametrize("status", [None, 302])
def test_redirects(start, status):
    _, client = start(HttpFault(route="info", redirect="http://nowhere.example/a", status=status))
    answer = client.get("/servicex")
    assert answer.status_code == (status or 307)
    assert answer.headers["location"] == "http://nowhere.example/a"


def test_a_key_that_is_missing(start):
    _, client = start(HttpFault(route="status", without="files"))
    body = {"selection": '[{"treename": "t"}]', "codegen": "uproot-raw", "file-list": []}
    request_id = client.post(ONE, json=body).json()["request_id"]
    status = client.get(f"{ONE}/{request_id}").json()
    assert "files" not in status
    assert status["files-failed"] == 0


def test_other_faults_for_a_while(start):
    service, client = start(HttpFault(route="info", status=503, first=1))
    assert call_all(client, 2) == [503, 200]
    with service.disturbed(HttpFault(route="info", status=502, first=1)):
        assert call_all(client, 2) == [502, 200]
    assert call_all(client, 2) == [503, 200], "counted anew"


def test_going_away_and_coming_back(start):
    service, client = start()
    assert call_all(client, 1) == [200]
    for _ in range(2):
        with service.away():
            with pytest.raises(httpx.TransportError):
                client.get("/servicex")
            with pytest.raises(httpx.ConnectError):
                httpx.get(f"{service.url}/servicex", trust_env=False)
        assert call_all(client, 1) == [200]
    assert service.traffic.calls == {"info": 3}


def test_the_end_while_away(start):
    service, _ = start()
    with service.away():
        service.stop()
    with pytest.raises(BackendUnreachableError), service.away():
        pass


# Result files


@pytest.fixture
def stored(start, tmp_path):
    """Start a service with a result file; what there is to read."""

    def stored(*faults):
        service, client = start(*faults)
        path = tmp_path / "a.root"
        with uproot.recreate(path, compression=None) as file:
            file.mktree("events", {"x": np.random.default_rng(0).random(500_000)})
        request_id = service.submit([path], tree="events", manual=True)
        service.release(request_id, 0)
        (row,) = client.get(f"{ONE}/{request_id}/results").json()["results"]
        name = row["s3-object-name"]
        body = {"request_id": request_id, "file_list": [name]}
        url, _, _ = client.post(f"{ONE}/file-urls", json=body).json()["uris"][name]
        (path,) = service.servicex_yaml.parent.glob(f"results-*/{request_id}-0")
        return service, client, url, path.read_bytes()

    return stored


def test_what_befalls_result_files(stored):
    service, client, url, content = stored(
        HttpFault(route="file", status=404, first=1),
        HttpFault(route="file", cut=1_500_000, first=2),
        HttpFault(route="file", wrong_length=1, first=1),
        HttpFault(route="file", wrong_length=-1, first=1),
    )
    assert client.get(url).status_code == 404
    assert service.traffic.bytes == 0
    pieces: list[bytes] = []
    with client.stream("GET", url) as answer:
        assert answer.headers["content-length"] == str(len(content))
        with pytest.raises(httpx.RemoteProtocolError, match=CUT):
            pieces.extend(answer.iter_raw())
    assert b"".join(pieces) == content[:1_500_000]
    assert service.traffic.bytes == 1_500_000
    assert client.get(url, headers={"Range": "bytes=0-99"}).content == content[:100]
    with pytest.raises(httpx.RemoteProtocolError, match=CUT):
        client.get(url)
    short = client.get(url)
    assert short.content == content[:-1]
    assert client.head(url).headers["content-length"] == str(len(content))
    assert client.get(url).content == content
    name = service.traffic.files[0].object
    assert service.traffic.files[:3] == [
        FileCall("GET", name, None),
        FileCall("GET", name, None),
        FileCall("GET", name, "bytes=0-99"),
    ]


def test_one_result_of_several(stored):
    _, client, url, content = stored(
        HttpFault(route="file", status=503, ending="other.root"),
        HttpFault(route="file", status=502, ending="a.root", skip=1, first=1),
    )
    answers = [client.get(url) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 502, 200]
    assert answers[2].content == content


def test_ranges_that_are_not_the_ones_asked_for(stored):
    shifted = {
        "bytes=100-199": slice(99, 199),
        "bytes=0-99": slice(1, 101),
        "bytes=50-": slice(49, None),
        "bytes=-10": slice(-11, None),
    }
    service, client, url, content = stored(
        HttpFault(route="file", ranges="ignored", first=2),
        HttpFault(route="file", ranges="shifted", first=len(shifted) + 2),
    )
    whole = client.get(url, headers={"Range": "bytes=100-199"})
    assert (whole.status_code, whole.content) == (200, content)
    assert "content-range" not in whole.headers
    assert client.get(url).status_code == 200
    for asked, part in shifted.items():
        answer = client.get(url, headers={"Range": asked})
        first, last, _ = part.indices(len(content))
        assert answer.status_code == 206
        assert answer.headers["content-range"] == f"bytes {first}-{last - 1}/{len(content)}"
        assert answer.content == content[part]
    several = client.get(url, headers={"Range": "bytes=100-199, 500-599"})
    assert content[99:199] in several.content
    assert content[499:599] in several.content
    assert client.get(url).content == content
    right = client.get(url, headers={"Range": "bytes=100-199"})
    assert right.content == content[100:200]
    assert service.traffic.files[0].range == "bytes=100-199"


# What cannot be asked for


def test_the_routes_are_those_of_the_server(start):
    service, _ = start(*(HttpFault(route=route, status=599) for route in ROUTES))
    paths = {
        "info": ("GET", "/servicex"),
        "token": ("POST", "/token/refresh"),
        "submit": ("POST", ONE),
        "list": ("GET", ONE),
        "status": ("GET", f"{ONE}/a"),
        "results": ("GET", f"{ONE}/a/results"),
        "cancel": ("POST", f"{ONE}/a/cancel"),
        "delete": ("DELETE", f"{ONE}/a"),
        "file-urls": ("POST", f"{ONE}/file-urls"),
        "dataset": ("GET", "/servicex/datasets/1"),
        "file": ("GET", "/results/a/b"),
    }
    assert tuple(paths) == ROUTES
    for method, path in paths.values():
        assert httpx.request(method, service.url + path, trust_env=False).status_code == 599
    assert service.traffic.calls == dict.fromkeys(ROUTES, 1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"route": "nope", "status": 503}, "route"),
        ({}, "nothing goes wrong"),
        ({"first": 3}, "nothing goes wrong"),
        ({"status": 503, "first": 1, "every": 2}, "only one"),
        ({"status": 503, "first": 1, "above": 2}, "only one"),
        ({"status": 503, "above": 0}, "above"),
        ({"status": 503, "skip": -1}, "skip"),
        ({"skip": 1}, "nothing goes wrong"),
        ({"route": "info", "status": 503, "ending": "a"}, "ending"),
        ({"redirect": "http://a.example", "status": 503}, "redirect"),
        ({"hang_up": True, "status": 503}, "hang_up"),
        ({"without": "files"}, "without"),
        ({"route": "info", "without": "files", "status": 503}, "without"),
        ({"status": 503, "first": -1}, "first"),
        ({"status": 503, "every": 0}, "every"),
        ({"status": 503, "fraction": 1.5}, "fraction"),
        ({"status": 200}, "status"),
        ({"retry_after": 1, "delay": 1}, "retry_after"),
        ({"delay": -1}, "delay"),
        ({"delay": float("nan")}, "delay"),
        ({"cut": -1}, "cut"),
        ({"ranges": "nope"}, "ranges"),
        ({"route": "info", "ranges": "ignored"}, "ranges"),
        ({"status": 503, "ranges": "ignored"}, "ranges"),
    ],
)
def test_faults_that_make_no_sense(wrong, message):
    with pytest.raises(InvalidArgumentError, match=message):
        HttpFault(**{"route": "file", **wrong})
