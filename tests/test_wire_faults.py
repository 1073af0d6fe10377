"""The faults that only tests need do happen, over real HTTP."""

from __future__ import annotations

import contextlib
import logging
import time

import httpx
import numpy as np
import pytest
import uproot
from wire_faults import (  # type: ignore[import-not-found]
    Answer,
    Cut,
    HangUp,
    MissingKey,
    OtherRange,
    WireFault,
    WireFaults,
    WrongLength,
    redirect,
    retry_after,
)

from servicex_layer.errors import ProtocolError
from servicex_layer.local import LocalServiceX

TRANSFORMATION = "/servicex/transformation"
CUT = "peer closed connection without sending complete message body"


@pytest.fixture
def start(caplog):
    """Start a service with faults; it must log nothing, whatever happens to the calls."""
    with contextlib.ExitStack() as stack, caplog.at_level(logging.WARNING):

        def start(*faults):
            service = LocalServiceX(middleware=WireFaults(*faults).middleware, parallelism=1)
            stack.enter_context(service)
            client = httpx.Client(base_url=service.url, trust_env=False)
            return service, stack.enter_context(client)

        yield start
    assert not caplog.records


def call_all(client, count, path="/servicex"):
    return [client.get(path).status_code for _ in range(count)]


# Which calls


def test_calls_are_selected_by_number(start):
    _, client = start(
        WireFault(route="info", effect=Answer(429), every=3),
        WireFault(route="list", effect=Answer(503), skip=1, first=2),
    )
    assert call_all(client, 7) == [200, 200, 429, 200, 200, 429, 200]
    assert call_all(client, 5, TRANSFORMATION) == [200, 503, 503, 200, 200]


def test_calls_are_selected_at_random(start):
    _, client = start(WireFault(route="info", effect=Answer(502), fraction=0.3))
    assert 15 < call_all(client, 100).count(502) < 45


def test_only_the_first_matching_fault_happens_to_a_call(start):
    _, client = start(
        WireFault(route="info", effect=Answer(503), first=2),
        WireFault(route="info", effect=Answer(404), first=1),
        WireFault(route="info", effect=Answer(500), every=2),
    )
    assert call_all(client, 6) == [503, 503, 404, 200, 500, 200]


def test_faults_are_injected_for_a_while():
    faults = WireFaults()
    with (
        LocalServiceX(middleware=faults.middleware) as service,
        httpx.Client(base_url=service.url, trust_env=False) as client,
    ):
        with faults.inject(WireFault(route="info", effect=Answer(502), first=1)):
            assert call_all(client, 2) == [502, 200]
        with faults.inject(WireFault(route="info", effect=Answer(502))):
            assert call_all(client, 1) == [502]
        assert call_all(client, 1) == [200]


def test_a_rate_limit(start):
    fault = WireFault(route="info", effect=retry_after(1), above=5)
    _, client = start(fault)
    statuses = call_all(client, 12)
    assert statuses[:5] == [200] * 5
    assert 429 in statuses
    limited = client.get("/servicex")
    while limited.status_code == 429:
        assert limited.headers["retry-after"] == "1"
        time.sleep(0.05)
        limited = client.get("/servicex")
    assert limited.status_code == 200


# What happens to them


def test_garbage_and_html_instead_of_json(start):
    html = "<html><h1>502 Bad Gateway</h1></html>"
    _, client = start(
        WireFault(route="info", effect=Answer(body='{"app-version": '), first=1),
        WireFault(route="info", effect=Answer(body="{}"), first=1),
        WireFault(route="info", effect=Answer(502, html, "text/html"), first=1),
    )
    garbage, empty, page = (client.get("/servicex") for _ in range(3))
    assert (garbage.status_code, garbage.text) == (200, '{"app-version": ')
    assert garbage.headers["content-type"] == "application/json"
    assert empty.json() == {}
    assert (page.status_code, page.text) == (502, html)
    assert page.headers["content-type"] == "text/html"


def test_submit_reports_an_answer_that_is_garbage(start):
    service, _ = start(WireFault(route="submit", effect=Answer(body="<html>"), first=1))
    with pytest.raises(ProtocolError, match="without a request id"):
        service.submit([], tree="t", manual=True)


def test_the_connection_is_closed_without_an_answer(start):
    service, client = start(WireFault(route="info", effect=HangUp(), first=2))
    for _ in range(2):
        with pytest.raises(httpx.RemoteProtocolError, match="disconnected"):
            client.get("/servicex")
    assert call_all(client, 1) == [200]
    assert service.traffic.calls == {"info": 3}


def test_json_that_is_cut_or_of_the_wrong_length(start):
    _, client = start(
        WireFault(route="info", effect=Cut(10), first=1),
        WireFault(route="info", effect=WrongLength(5), first=1),
        WireFault(route="info", effect=WrongLength(-5), first=1),
        WireFault(route="info", effect=WrongLength(-(10**6)), first=1),
        WireFault(route="info", effect=Cut(10**6), first=1),
    )
    for _ in range(2):
        with pytest.raises(httpx.RemoteProtocolError, match=CUT):
            client.get("/servicex")
    short, empty, whole = (client.get("/servicex").content for _ in range(3))
    assert short == whole[:-5]
    assert empty == b""
    assert client.get("/servicex").content == whole


@pytest.mark.parametrize("status", [307, 302])
def test_redirects(start, status):
    _, client = start(WireFault(route="info", effect=redirect("http://far.example/a", status)))
    answer = client.get("/servicex")
    assert answer.status_code == status
    assert answer.headers["location"] == "http://far.example/a"


def test_a_key_is_missing(start):
    service, client = start(WireFault(route="status", effect=MissingKey("files")))
    request_id = service.submit([], tree="t")
    status = client.get(f"{TRANSFORMATION}/{request_id}").json()
    assert "files" not in status
    assert status["files-failed"] == 0


# Result files


@pytest.fixture
def start_with_result(start, tmp_path):
    """Start a service with a result file; return its URL and content as well."""

    def start_with_result(*faults):
        service, client = start(*faults)
        path = tmp_path / "a.root"
        with uproot.recreate(path, compression=None) as file:
            file.mktree("events", {"x": np.random.default_rng(0).random(500_000)})
        request_id = service.submit([path], tree="events", manual=True)
        service.release(request_id, 0)
        (row,) = client.get(f"{TRANSFORMATION}/{request_id}/results").json()["results"]
        name = row["s3-object-name"]
        body = {"request_id": request_id, "file_list": [name]}
        url, _, _ = client.post(f"{TRANSFORMATION}/file-urls", json=body).json()["uris"][name]
        (path,) = service.servicex_yaml.parent.glob(f"results-*/{request_id}-0")
        return service, client, url, path.read_bytes()

    return start_with_result


def test_result_files_of_the_wrong_length(start_with_result):
    _, client, url, content = start_with_result(
        WireFault(route="file", effect=WrongLength(1), first=1),
        WireFault(route="file", effect=WrongLength(-1), first=1),
    )
    with pytest.raises(httpx.RemoteProtocolError, match=CUT):
        client.get(url)
    assert client.get(url).content == content[:-1]
    assert client.head(url).headers["content-length"] == str(len(content))
    assert client.get(url).content == content


def test_results_are_selected_by_the_end_of_their_name(start_with_result):
    _, client, url, content = start_with_result(
        WireFault(route="file", effect=Answer(503), ending="other.root"),
        WireFault(route="file", effect=Answer(502), ending="a.root", skip=1, first=1),
    )
    answers = [client.get(url) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 502, 200]
    assert answers[2].content == content


def test_ranges_are_ignored_or_shifted(start_with_result):
    shifted = {
        "bytes=100-199": slice(99, 199),
        "bytes=0-99": slice(1, 101),
        "bytes=50-": slice(49, None),
        "bytes=-10": slice(-11, None),
    }
    service, client, url, content = start_with_result(
        WireFault(route="file", effect=OtherRange("ignored"), first=2),
        WireFault(route="file", effect=OtherRange("shifted"), first=len(shifted) + 2),
    )
    whole = client.get(url, headers={"Range": "bytes=100-199"})
    assert (whole.status_code, whole.content) == (200, content)
    assert "content-range" not in whole.headers
    assert client.get(url).status_code == 200
    for requested, part in shifted.items():
        answer = client.get(url, headers={"Range": requested})
        first, last, _ = part.indices(len(content))
        assert answer.status_code == 206
        assert answer.headers["content-range"] == f"bytes {first}-{last - 1}/{len(content)}"
        assert answer.content == content[part]
    several = client.get(url, headers={"Range": "bytes=100-199, 500-599"})
    assert content[99:199] in several.content
    assert content[499:599] in several.content
    assert client.get(url).content == content
    correct = client.get(url, headers={"Range": "bytes=100-199"})
    assert correct.content == content[100:200]
    assert service.traffic.files[0].range == "bytes=100-199"
