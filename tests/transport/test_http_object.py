"""Either the right bytes come, or a clear error."""

from __future__ import annotations

import threading
from dataclasses import replace

import dask.config
import pytest
from transport.scripted_store import (  # type: ignore[import-not-found]
    BODY,
    DESCRIPTION,
    END_SIZE,
    FILE,
    READ_AHEAD,
    SECRET,
    Answer,
    Range,
    ScriptedStore,
    check_reads,
    cut_off,
    open_object,
    send_range,
)

from servicex_layer._model import Location
from servicex_layer.errors import CorruptResultError, MissingObjectError, ResultError
from servicex_layer.forms import as_form
from servicex_layer.reading import read
from servicex_layer.transport import ResultSource


def message_of(error: type[ResultError], store: ScriptedStore) -> str:
    """Read, and return the message of the error, which names the file and no secret."""
    with pytest.raises(error) as caught:
        check_reads(open_object(store))
    assert DESCRIPTION in str(caught.value)
    assert SECRET not in str(caught.value)
    return str(caught.value)


def test_headers_of_the_location_are_sent(store: ScriptedStore):
    check_reads(open_object(store))
    assert all(call.headers["x-key"] == SECRET for call in store.calls)


# Integrity


@pytest.mark.usefixtures("whole", "short_retries")
def test_body_that_is_always_cut_off_is_an_error(store: ScriptedStore):
    store.answer = cut_off
    assert "IncompleteRead" in message_of(CorruptResultError, store)
    assert len(store.calls) > 2


def test_body_that_is_cut_off_once_is_fetched_again(store: ScriptedStore, whole: bool):
    store.script = [cut_off(None if whole else (0, END_SIZE))]
    check_reads(open_object(store))


@pytest.mark.usefixtures("whole")
def test_object_shorter_than_announced_is_an_error(store: ScriptedStore):
    store.answer = lambda byte_range: send_range(byte_range, BODY[:-1])
    message = message_of(CorruptResultError, store)
    assert "999999 bytes, but the backend reported 1000000" in message


def test_object_that_ends_before_the_range_is_an_error(store: ScriptedStore):
    store.answer = lambda _: (416, b"", {"Content-Range": "bytes */10"})
    message_of(CorruptResultError, store)
    assert len(store.calls) <= 2


def test_store_without_ranges_sends_the_whole_object(store: ScriptedStore):
    store.answer = lambda _: send_range(None)
    body = open_object(store)
    check_reads(body)
    assert len(store.calls) <= 2


WRONG_RANGES = {
    "elsewhere": lambda asked: send_range((asked[0] + 1, asked[1] + 1)),
    "less": lambda asked: send_range((asked[0], asked[1] - 1)),
    "more": lambda asked: send_range((asked[0] - 1, asked[1])),
    "no header": lambda asked: (206, send_range(asked)[1], {}),
    "wrong header": lambda asked: (206, send_range(asked)[1][1:], send_range(asked)[2]),
    "several": lambda asked: (
        206,
        send_range(asked)[1],
        {"Content-Type": "multipart/byteranges; boundary=x"},
    ),
}


@pytest.mark.parametrize("name", WRONG_RANGES)
@pytest.mark.usefixtures("short_retries")
def test_wrong_range_is_an_error_if_it_stays(store: ScriptedStore, name: str):
    body = open_object(store)
    store.answer = WRONG_RANGES[name]
    asked = f"was asked for bytes 300000-{299_999 + READ_AHEAD}"
    with pytest.raises(CorruptResultError, match=f"{DESCRIPTION}.*{asked}"):
        body.read(300_000, 310_000)
    assert len(store.calls) > 3
    store.answer = send_range
    store.script = [WRONG_RANGES[name]((300_000, 300_000 + READ_AHEAD))]
    assert body.read(300_000, 310_000) == BODY[300_000:310_000]


def test_range_in_place_of_the_whole_is_fetched_again(store: ScriptedStore):
    store.script = [send_range((0, 100))]
    with dask.config.set({"servicex-layer.range-threshold": "2MB"}):
        check_reads(open_object(store))


@pytest.mark.parametrize("changed", ["etag", "size", "no etag"])
def test_object_that_changes_while_it_is_read_is_an_error(store: ScriptedStore, changed: str):
    body = open_object(store)
    answers = {
        "etag": lambda asked: send_range(asked, etag='"2"'),
        "size": lambda asked: send_range(asked, BODY + b"x"),
        "no etag": lambda asked: (*send_range(asked)[:2], {**send_range(asked)[2], "ETag": ""}),
    }
    store.answer = answers[changed]
    with pytest.raises(CorruptResultError, match=f"{DESCRIPTION} changed"):
        body.read(300_000, 310_000)


def test_object_larger_than_its_row_says_is_named_in_the_error(store: ScriptedStore):
    """The object is not a ROOT file, and the row reports too small a size."""
    source = ResultSource(replace(FILE, size=10), lambda _: Location(store.url), DESCRIPTION)
    with pytest.raises(CorruptResultError, match=DESCRIPTION):
        read(source, as_form("{x: float64}"), None, None)


# Failures


@pytest.mark.usefixtures("whole")
def test_object_that_appears_late_is_read(store: ScriptedStore):
    store.script = [(404, b"", {})] * 3
    check_reads(open_object(store))


@pytest.mark.usefixtures("whole", "short_retries")
def test_object_that_never_appears_is_an_error(store: ScriptedStore):
    store.answer = lambda _: (404, b"", {})
    assert "404" in message_of(MissingObjectError, store)
    assert len(store.calls) > 2


@pytest.mark.usefixtures("whole")
@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_transient_failure_is_retried(store: ScriptedStore, status: int):
    store.script = [(status, b"busy", {"Retry-After": "0"}), (status, b"", {})]
    check_reads(open_object(store))


@pytest.mark.parametrize("after", ["-1", "nan", "soon", "Fri, 31 Dec 1999 23:59:59 GMT"])
def test_invalid_retry_after_is_ignored(store: ScriptedStore, after: str):
    store.script = [(503, b"", {"Retry-After": after})]
    check_reads(open_object(store))


@pytest.mark.usefixtures("short_retries")
def test_retry_after_beyond_the_retry_timeout_is_an_error(store: ScriptedStore):
    store.answer = lambda _: (503, b"", {"Retry-After": "3600"})
    assert "503" in message_of(MissingObjectError, store)


@pytest.mark.parametrize("status", [400, 405, 501])
def test_permanent_failure_is_an_error_at_once(store: ScriptedStore, status: int):
    store.answer = lambda _: (status, b"", {})
    assert str(status) in message_of(MissingObjectError, store)
    assert len(store.calls) <= 2


def test_answer_that_does_not_come_is_asked_for_again(store: ScriptedStore):
    over = threading.Event()
    first = iter([True])

    def answer(byte_range: Range | None) -> Answer:
        if next(first, False):
            over.wait(30)
        return send_range(byte_range)

    store.answer = answer
    with dask.config.set({"servicex-layer.read-timeout": "200ms"}):
        check_reads(open_object(store))
    over.set()


@pytest.mark.usefixtures("short_retries")
def test_unreachable_store_is_an_error(store: ScriptedStore):
    store.url = f"http://127.0.0.1:1/a.root?{SECRET}"
    message_of(MissingObjectError, store)


@pytest.mark.parametrize("url", ["", "a.root", "ftp://x/a", "http://", "http://[/" + SECRET])
def test_invalid_url_is_an_error(store: ScriptedStore, url: str):
    store.url = url
    message_of(MissingObjectError, store)


# URLs that have expired


@pytest.mark.parametrize("status", [401, 403])
def test_expired_url_is_renewed(store: ScriptedStore, status: int, whole: bool):
    rejected = []

    def locate(url: str | None) -> Location:
        rejected.append(url)
        return Location(f"{store.url}&renewed={len(rejected)}", {"x-key": SECRET})

    def expire_all_until_now() -> None:
        expired = {str(number) for number in range(len(rejected) + 1)}
        store.is_rejected = lambda path: (
            status if (path.partition("&renewed=")[2] or "0") in expired else None
        )

    expire_all_until_now()
    body = open_object(store, locate=locate)
    assert rejected == [store.url]
    check_reads(body)
    if not whole:
        expire_all_until_now()
        body.fetch([(start, start + 1000) for start in range(150_000, 800_000, 70_000)])
        check_reads(body)
        assert rejected == [store.url, f"{store.url}&renewed=1"]


@pytest.mark.usefixtures("whole")
@pytest.mark.parametrize("fresh", [True, False])
def test_url_that_is_rejected_again_is_an_error(store: ScriptedStore, fresh: bool):
    rejected = []

    def locate(url: str | None) -> Location:
        rejected.append(url)
        return Location(store.url + (f"&{len(rejected)}" if fresh else ""))

    store.answer = lambda _: (403, b"", {})
    with pytest.raises(MissingObjectError, match=f"{DESCRIPTION}.*403") as caught:
        open_object(store, locate=locate)
    assert SECRET not in str(caught.value)
    assert len(rejected) == 1
    assert len(store.calls) <= 4
