"""Faults of single calls, over real HTTP."""

from __future__ import annotations

import concurrent.futures
import contextlib
import logging
import time

import httpx
import numpy as np
import pytest
import uproot

from servicex_layer.errors import BackendUnreachableError, InvalidArgumentError
from servicex_layer.local import Faults, FileCall, HttpFault, LocalServiceX
from servicex_layer.local._traffic import ROUTES

TRANSFORMATION = "/servicex/transformation"
CUT = "peer closed connection without sending complete message body"


@pytest.fixture
def start(caplog):
    """Start a service with faults; it must log nothing, whatever happens to the calls."""
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


def test_a_fault_can_happen_to_the_first_calls(start):
    service, client = start(HttpFault(route="info", status=503, first=2))
    assert call_all(client, 4) == [503, 503, 200, 200]
    assert service.traffic.calls == {"info": 4}


def test_a_fault_happens_to_one_route_only(start):
    _, client = start(HttpFault(route="list", status=500))
    assert call_all(client, 3, TRANSFORMATION) == [500, 500, 500]
    assert call_all(client, 1) == [200]


def test_the_seed_decides_which_fraction_of_the_calls_fails(start):
    fault = HttpFault(route="info", status=502, fraction=0.3)
    runs = [call_all(start(fault, seed=seed)[1], 60) for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]
    assert all(8 < run.count(502) < 28 for run in runs)


def test_only_the_first_matching_fault_happens_to_a_call(start):
    _, client = start(
        HttpFault(route="info", delay=0.01),
        HttpFault(route="info", status=503, first=2),
        HttpFault(route="info", status=404, first=1),
    )
    assert call_all(client, 4) == [503, 503, 404, 200]


def test_a_restarted_server_counts_calls_from_zero():
    service = LocalServiceX(faults=Faults(http=[HttpFault(route="info", status=503, first=1)]))
    for _ in range(2):
        with service:
            statuses = [
                httpx.get(f"{service.url}/servicex", trust_env=False).status_code for _ in range(2)
            ]
        assert statuses == [503, 200]


def test_injected_faults_replace_the_others_for_a_while(start):
    service, client = start(HttpFault(route="info", status=503, first=1))
    assert call_all(client, 2) == [503, 200]
    with service.inject(HttpFault(route="info", status=502, first=1)):
        assert call_all(client, 2) == [502, 200]
    assert call_all(client, 2) == [503, 200], "counted from zero"


# What happens to them


@pytest.mark.parametrize("retry_after", [7, "Sun, 22 Nov 2026 23:00:00 GMT"])
def test_a_status_can_come_with_retry_after(start, retry_after):
    _, client = start(HttpFault(route="info", status=429, retry_after=retry_after))
    answer = client.get("/servicex")
    assert answer.headers["retry-after"] == str(retry_after)
    assert answer.json() == {"message": "made to fail"}
    assert "date" in answer.headers


def test_a_fault_comes_before_authorization(start):
    _, client = start(HttpFault(route="list", status=503, first=1), authentication=True)
    assert call_all(client, 2, TRANSFORMATION) == [503, 401]


def test_the_server_does_not_handle_a_call_that_a_fault_answers(start):
    _, client = start(HttpFault(route="submit", status=500, first=1))
    body = {"selection": '[{"treename": "t"}]', "codegen": "uproot-raw", "file-list": []}
    assert client.post(TRANSFORMATION, json=body).status_code == 500
    assert client.get(TRANSFORMATION).json()["requests"] == []
    assert client.post(TRANSFORMATION, json=body).status_code == 200
    assert len(client.get(TRANSFORMATION).json()["requests"]) == 1


def test_delayed_calls_do_not_wait_for_each_other(start):
    _, client = start(HttpFault(route="info", delay=0.5))
    started = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(client.get, ["/servicex"] * 8))
    assert 0.5 <= time.monotonic() - started < 3
    assert all(answer.json()["capabilities"] for answer in answers)


def test_a_delayed_call_keeps_its_body(start):
    _, client = start(HttpFault(route="file-urls", delay=0.05))
    answer = client.post(
        f"{TRANSFORMATION}/file-urls", json={"request_id": "nope", "file_list": []}
    )
    assert "nope" in answer.json()["message"]


def test_the_server_stops_in_the_middle_of_a_delay(start, until):
    service, client = start(HttpFault(route="info", delay=600))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        answer = pool.submit(client.get, "/servicex", timeout=60)
        until(lambda: service.traffic.calls["info"])
        started = time.monotonic()
        service.stop()
        assert time.monotonic() - started < 0.9
        assert isinstance(answer.exception(), httpx.TransportError)


def test_an_answer_can_be_cut(start):
    _, client = start(
        HttpFault(route="info", cut=10, first=1),
        HttpFault(route="info", cut=0, status=503, first=1),
        HttpFault(route="info", cut=10**6, first=1),
    )
    with pytest.raises(httpx.RemoteProtocolError, match=CUT):
        client.get("/servicex")
    with client.stream("GET", "/servicex") as answer:
        assert answer.status_code == 503
        with pytest.raises(httpx.RemoteProtocolError, match=CUT):
            answer.read()
    assert client.get("/servicex").json()["capabilities"], "shorter than the cut"


def test_faults_of_result_files(start, tmp_path):
    service, client = start(
        HttpFault(route="file", status=503, ending="other.root"),
        HttpFault(route="file", status=404, ending="a.root", first=1),
        HttpFault(route="file", cut=1_500_000, first=2),
    )
    path = tmp_path / "a.root"
    with uproot.recreate(path, compression=None) as file:
        file.mktree("events", {"x": np.random.default_rng(0).random(500_000)})
    request_id = service.submit([path], tree="events", manual=True)
    service.release(request_id, 0)
    (row,) = client.get(f"{TRANSFORMATION}/{request_id}/results").json()["results"]
    name = row["s3-object-name"]
    body = {"request_id": request_id, "file_list": [name]}
    url, _, _ = client.post(f"{TRANSFORMATION}/file-urls", json=body).json()["uris"][name]

    assert client.get(url).status_code == 404
    assert service.traffic.bytes == 0
    pieces: list[bytes] = []
    with client.stream("GET", url) as answer:
        assert answer.headers["content-length"] == str(row["total-bytes"])
        with pytest.raises(httpx.RemoteProtocolError, match=CUT):
            pieces.extend(answer.iter_raw())
    assert service.traffic.bytes == len(b"".join(pieces)) == 1_500_000
    assert len(client.get(url, headers={"Range": "bytes=0-99"}).content) == 100, "not cut: short"
    assert len(client.get(url).content) == row["total-bytes"]
    assert service.traffic.files == [
        FileCall("GET", name, None),
        FileCall("GET", name, None),
        FileCall("GET", name, "bytes=0-99"),
        FileCall("GET", name, None),
    ]


def test_submit_reports_the_fault_that_happens_to_it(start, until):
    service, client = start(
        HttpFault(route="submit", status=503, first=1),
        HttpFault(route="submit", cut=0, status=503, first=1),
    )
    with pytest.raises(InvalidArgumentError, match="made to fail"):
        service.submit([], tree="t", manual=True)
    with pytest.raises(BackendUnreachableError, match="does not answer"):
        service.submit([], tree="t", manual=True)
    request_id = service.submit(["file:///nope.root"], tree="t")
    until(lambda: client.get(f"{TRANSFORMATION}/{request_id}").json()["status"] == "Complete")


# Values


def test_each_route_has_faults(start):
    service, _ = start(*(HttpFault(route=route, status=599) for route in ROUTES))
    paths = {
        "info": ("GET", "/servicex"),
        "token": ("POST", "/token/refresh"),
        "submit": ("POST", TRANSFORMATION),
        "list": ("GET", TRANSFORMATION),
        "status": ("GET", f"{TRANSFORMATION}/a"),
        "results": ("GET", f"{TRANSFORMATION}/a/results"),
        "cancel": ("POST", f"{TRANSFORMATION}/a/cancel"),
        "delete": ("DELETE", f"{TRANSFORMATION}/a"),
        "file-urls": ("POST", f"{TRANSFORMATION}/file-urls"),
        "dataset": ("GET", "/servicex/datasets/1"),
        "logs": ("GET", "/logs/a"),
        "file": ("GET", "/results/a/b"),
    }
    assert tuple(paths) == ROUTES
    for method, path in paths.values():
        assert httpx.request(method, service.url + path, trust_env=False).status_code == 599
    assert service.traffic.calls == dict.fromkeys(ROUTES, 1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"route": "nope", "status": 503}, "route"),
        ({}, "set at least"),
        ({"first": 3}, "set at least"),
        ({"status": 503, "first": 1, "fraction": 0.5}, "exclude each other"),
        ({"route": "info", "status": 503, "ending": "a"}, "ending"),
        ({"status": 503, "first": -1}, "first"),
        ({"status": 503, "fraction": 1.5}, "fraction"),
        ({"status": 200}, "status"),
        ({"retry_after": 1, "delay": 1}, "retry_after"),
        ({"delay": -1}, "delay"),
        ({"delay": float("nan")}, "delay"),
        ({"cut": -1}, "cut"),
    ],
)
def test_impossible_faults_are_rejected(values, message):
    with pytest.raises(InvalidArgumentError, match=message):
        HttpFault(**{"route": "file", **values})
