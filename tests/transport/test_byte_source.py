from __future__ import annotations

import logging
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import dask.config
import numpy as np
import pytest

from servicex_layer import from_servicex
from servicex_layer._model import Location, ResultFile
from servicex_layer.errors import CorruptResultError, MissingObjectError, ResultError
from servicex_layer.forms import as_form
from servicex_layer.local import LocalServiceX
from servicex_layer.reading._read import read
from servicex_layer.transport import _byte_source as transfer
from servicex_layer.transport._byte_source import Local, Remote
from servicex_layer.transport._result import ResultSource

WHAT = "Result 'a.root' of request R"
BODY = random.Random(1).randbytes(1_000_000)
# What is looked at first, and what a read takes along, whatever is chosen in the package.
HEAD, TAIL, AHEAD = 32_768, 131_072, 32_768
SECRET = "AKIASECRET"

Range = tuple[int, int]
Answer = tuple[int, bytes, Mapping[str, str]]


def in_range(wanted: Range | None, body: bytes = BODY, etag: str = '"1"') -> Answer:
    """Answer as an object store does."""
    if wanted is None:
        return 200, body, {"ETag": etag}
    start, stop = wanted[0], min(wanted[1], len(body))
    given = {"Content-Range": f"bytes {start}-{stop - 1}/{len(body)}", "ETag": etag}
    return 206, body[start:stop], given


@dataclass
class Store:
    """An object store of one object, that answers as it is told to."""

    url: str = ""
    answer: Callable[[Range | None], Answer] = in_range
    script: list[Answer | None] = field(default_factory=list)
    """Answers that come first; ``None`` stands for a good one."""
    calls: list[tuple[str, Range | None, dict[str, str]]] = field(default_factory=list)
    connections: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def ranges(self) -> list[Any]:
        return [wanted for _, wanted, _ in self.calls]

    def reply(self, path: str, headers: dict[str, str]) -> Answer:
        given = headers.get("range")
        wanted = None
        if given is not None:
            first, last = given.removeprefix("bytes=").split("-")
            wanted = int(first), int(last) + 1
        with self.lock:
            self.calls.append((path, wanted, headers))
            scripted = self.script.pop(0) if self.script else None
        return self.answer(wanted) if scripted is None else scripted


@pytest.fixture
def store() -> Iterator[Store]:
    store = Store()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            with store.lock:
                store.connections += 1

        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, body, given = store.reply(self.path, headers)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **given}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = "Content-Length" in given

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    class Server(ThreadingHTTPServer):
        # Clients keep their connections.
        block_on_close = False
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """Say nothing of clients that went away."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    store.url = f"http://127.0.0.1:{server.server_address[1]}/R/a.root?X-Signature={SECRET}"
    with (
        pytest.MonkeyPatch.context() as patch,
        dask.config.set({"servicex-layer.range-threshold": 100_000}),
    ):
        patch.setattr(transfer, "_HEAD", HEAD)
        patch.setattr(transfer, "_TAIL", TAIL)
        patch.setattr(transfer, "_AHEAD", AHEAD)
        yield store
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def impatient() -> Iterator[None]:
    with dask.config.set({"servicex-layer.retry-timeout": "300ms"}):
        yield


FILE = ResultFile(1, datetime.now(UTC), "a.root", "a", 1, len(BODY))


def local(file: ResultFile, path: Path) -> Local:
    return Local(ResultSource(file, lambda _: Location("", path=str(path)), WHAT), str(path))


def open_remote(
    store: Store, size: int = len(BODY), locate: Callable[[str | None], Location] | None = None
) -> Remote:
    location = Location(store.url, {"x-key": SECRET})
    source = ResultSource(replace(FILE, size=size), locate or (lambda _: location), WHAT)
    return Remote(source, location)


def check_all(body: Remote | Local, expected: bytes = BODY) -> None:
    """Read pieces from everywhere, also where they overlap."""
    chance = random.Random(2)
    ranges = [(0, 1), (len(expected) - 1, len(expected)), (1, 1)]
    for _ in range(20):
        start = chance.randrange(len(expected))
        ranges.append((start, min(len(expected), start + chance.randrange(50_000))))
    body.fetch(ranges[::2])
    for start, stop in ranges:
        assert body.read(start, stop) == expected[start:stop]


# Whole, or ranges


def test_small_result_comes_whole(store: Store):
    with dask.config.set({"servicex-layer.range-threshold": "2MB"}):
        body = open_remote(store)
    check_all(body)
    assert store.ranges == [None]
    assert (body.transfer.requests, body.transfer.received) == (1, len(BODY))
    assert body.transfer.seconds > 0


def test_large_result_comes_in_ranges(store: Store):
    body = open_remote(store)
    assert sorted(store.ranges) == [(0, HEAD), (len(BODY) - TAIL, len(BODY))]
    body.fetch([(400_000, 410_000), (200_000, 210_000)])
    assert sorted(store.ranges[2:]) == [(200_000, 210_000), (400_000, 410_000)]
    assert body.read(201_000, 202_000) == BODY[201_000:202_000]
    assert body.read(0, 1000) == BODY[:1000]
    assert len(store.calls) == 4
    assert body.transfer.requests == 4
    assert body.transfer.asked == 2000
    assert body.transfer.received == HEAD + TAIL + 20_000


def test_every_range_is_the_right_one(store: Store):
    check_all(open_remote(store))


def test_ranges_with_little_between_them_are_one(store: Store):
    body = open_remote(store)
    ranges = [(start, start + 950) for start in range(200_000, 250_000, 1000)]
    body.fetch(ranges)
    assert store.ranges[2:] == [(200_000, 249_950)]
    body.fetch([(300_000, 310_000), (320_000, 330_000)])
    assert len(store.ranges[3:]) == 2


def test_small_reads_one_after_the_other_are_few_calls(store: Store):
    body = open_remote(store)
    for start in range(400_000, 460_000, 100):
        assert body.read(start, start + 100) == BODY[start : start + 100]
    assert len(store.calls) == 2 + 2


def test_reading_behind_the_end_is_an_error(store: Store, tmp_path: Path):
    path = tmp_path / "a.root"
    path.write_bytes(BODY)
    for body in (open_remote(store), local(FILE, path)):
        for start, stop in [(0, len(BODY) + 1), (-1, 2), (3, 2)]:
            with pytest.raises(CorruptResultError, match=WHAT):
                body.read(start, stop)


def test_local_result(tmp_path: Path):
    path = tmp_path / "a:b c%2F.root"
    path.write_bytes(BODY)
    body = local(FILE, path)
    check_all(body)
    assert body.transfer.requests == 0
    assert body.transfer.received == body.transfer.asked > 0
    with pytest.raises(CorruptResultError, match=f"{WHAT} has {len(BODY)} bytes"):
        local(replace(FILE, size=len(BODY) + 1), path)


@pytest.mark.parametrize("length", [1, 1000, HEAD, 50_000, 100_001, len(BODY)])
@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("threshold", [0, 100_000])
def test_sizes(store: Store, length: int, announced: bool, threshold: int):
    expected = BODY[:length]
    store.answer = lambda wanted: in_range(wanted, expected)
    with dask.config.set({"servicex-layer.range-threshold": threshold}):
        body = open_remote(store, size=length if announced else 0)
    assert body.size == length
    check_all(body, expected)


def test_result_of_unknown_size_is_not_fetched_whole(store: Store):
    """C++ transformers say that it is 0."""
    body = open_remote(store, size=0)
    assert body.transfer.received < 200_000
    assert body.transfer.requests == 2


def test_result_that_is_longer_than_announced(store: Store):
    body = open_remote(store, size=500_000)
    assert body.size == len(BODY)
    check_all(body)


def test_headers_of_the_location_are_sent(store: Store):
    check_all(open_remote(store))
    assert all(headers["x-key"] == SECRET for _, _, headers in store.calls)


def test_connections_are_kept(store: Store):
    for _ in range(20):
        body = open_remote(store)
        body.fetch([(start, start + 1000) for start in range(200_000, 800_000, 100_000)])
    assert len(store.calls) == 160
    assert store.connections <= 20


# What comes is right, or an error


def bad(error: type[ResultError], store: Store) -> str:
    with pytest.raises(error) as caught:
        check_all(open_remote(store))
    assert WHAT in str(caught.value)
    assert SECRET not in str(caught.value)
    return str(caught.value)


WHOLE = pytest.mark.parametrize("whole", [True, False], ids=["whole", "ranges"])


@pytest.fixture
def threshold(whole: bool) -> Iterator[None]:
    with dask.config.set({"servicex-layer.range-threshold": "2MB" if whole else "100kB"}):
        yield


def cut_short(wanted: Range | None) -> Answer:
    status, body, headers = in_range(wanted)
    return status, body[:-1], {**headers, "Content-Length": str(len(body))}


@WHOLE
@pytest.mark.usefixtures("threshold", "impatient")
def test_body_shorter_than_its_own_length(store: Store):
    store.answer = cut_short
    assert "IncompleteRead" in bad(CorruptResultError, store)
    assert len(store.calls) > 2


@WHOLE
@pytest.mark.usefixtures("threshold")
def test_body_cut_short_once_is_asked_for_again(store: Store, whole: bool):
    store.script = [cut_short(None if whole else (0, HEAD))]
    check_all(open_remote(store))


@WHOLE
@pytest.mark.usefixtures("threshold")
def test_object_shorter_than_announced(store: Store):
    store.answer = lambda wanted: in_range(wanted, BODY[:-1])
    assert "999999 bytes, but the backend reported 1000000" in bad(CorruptResultError, store)


def test_object_that_ends_before_the_range(store: Store):
    store.answer = lambda _: (416, b"", {"Content-Range": "bytes */10"})
    bad(CorruptResultError, store)
    assert len(store.calls) <= 2


def test_whole_object_where_a_range_was_asked(store: Store):
    store.answer = lambda _: in_range(None)
    body = open_remote(store)
    check_all(body)
    assert len(store.calls) <= 2


OTHERS = {
    "elsewhere": lambda wanted: in_range((wanted[0] + 1, wanted[1] + 1)),
    "less": lambda wanted: in_range((wanted[0], wanted[1] - 1)),
    "more": lambda wanted: in_range((wanted[0] - 1, wanted[1])),
    "untold": lambda wanted: (206, in_range(wanted)[1], {}),
    "wrongly told": lambda wanted: (206, in_range(wanted)[1][1:], in_range(wanted)[2]),
    "several": lambda wanted: (
        206,
        in_range(wanted)[1],
        {"Content-Type": "multipart/byteranges; boundary=x"},
    ),
}


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.usefixtures("impatient")
def test_another_range_than_was_asked(store: Store, other: str):
    body = open_remote(store)
    good = store.answer
    store.answer = OTHERS[other]
    with pytest.raises(
        CorruptResultError, match=f"{WHAT}.*bytes 300000-{299_999 + AHEAD} were asked"
    ):
        body.read(300_000, 310_000)
    assert len(store.calls) > 3
    store.answer = good
    store.script = [OTHERS[other]((300_000, 300_000 + AHEAD))]
    assert body.read(300_000, 310_000) == BODY[300_000:310_000]


def test_part_where_all_was_asked(store: Store):
    store.script = [in_range((0, 100))]
    with dask.config.set({"servicex-layer.range-threshold": "2MB"}):
        check_all(open_remote(store))


@pytest.mark.parametrize("changed", ["etag", "size", "no etag"])
def test_object_that_changes_while_it_is_read(store: Store, changed: str):
    body = open_remote(store)
    other = {
        "etag": lambda wanted: in_range(wanted, etag='"2"'),
        "size": lambda wanted: in_range(wanted, BODY + b"x"),
        "no etag": lambda wanted: (*in_range(wanted)[:2], {**in_range(wanted)[2], "ETag": ""}),
    }
    store.answer = other[changed]
    with pytest.raises(CorruptResultError, match=f"{WHAT} changed"):
        body.read(300_000, 310_000)


# Failures that pass, and that do not


@WHOLE
@pytest.mark.usefixtures("threshold")
def test_object_that_is_not_there_yet(store: Store):
    store.script = [(404, b"", {})] * 3
    check_all(open_remote(store))


@WHOLE
@pytest.mark.usefixtures("threshold", "impatient")
def test_object_that_is_never_there(store: Store):
    store.answer = lambda _: (404, b"", {})
    assert "404" in bad(MissingObjectError, store)
    assert len(store.calls) > 2


@WHOLE
@pytest.mark.usefixtures("threshold")
@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_failure_that_passes_is_unnoticed(store: Store, status: int):
    store.script = [(status, b"busy", {"Retry-After": "0"}), (status, b"", {})]
    check_all(open_remote(store))


@pytest.mark.parametrize("after", ["-1", "nan", "soon", "Fri, 31 Dec 1999 23:59:59 GMT"])
def test_strange_retry_after(store: Store, after: str):
    store.script = [(503, b"", {"Retry-After": after})]
    check_all(open_remote(store))


@pytest.mark.usefixtures("impatient")
def test_retry_after_beyond_all_patience(store: Store):
    store.answer = lambda _: (503, b"", {"Retry-After": "3600"})
    assert "503" in bad(MissingObjectError, store)


@pytest.mark.parametrize("status", [400, 405, 501])
def test_failure_that_does_not_pass(store: Store, status: int):
    store.answer = lambda _: (status, b"", {})
    assert str(status) in bad(MissingObjectError, store)
    assert len(store.calls) <= 2


def test_answer_that_does_not_come(store: Store):
    over = threading.Event()
    first = iter([True])

    def answer(wanted: Range | None) -> Answer:
        if next(first, False):
            over.wait(30)
        return in_range(wanted)

    store.answer = answer
    with dask.config.set({"servicex-layer.read-timeout": "200ms"}):
        check_all(open_remote(store))
    over.set()


@pytest.mark.usefixtures("impatient")
def test_no_store_at_all(store: Store):
    store.url = f"http://127.0.0.1:1/a.root?{SECRET}"
    bad(MissingObjectError, store)


@pytest.mark.parametrize("url", ["", "a.root", "ftp://x/a", "http://", "http://[/" + SECRET])
def test_location_that_is_no_url(store: Store, url: str):
    store.url = url
    bad(MissingObjectError, store)


def test_redirect(store: Store):
    target = store.url
    store.script = [(307, b"", {"Location": target + "&there"})] * 4
    check_all(open_remote(store))


# URLs that have expired


@WHOLE
@pytest.mark.usefixtures("threshold")
@pytest.mark.parametrize("status", [401, 403])
def test_expired_url_is_renewed(store: Store, status: int):
    rejected = []

    def locate(url: str | None) -> Location:
        rejected.append(url)
        return Location(f"{store.url}&renewed={len(rejected)}", {"x-key": SECRET})

    def expire() -> None:
        good = len(rejected)
        plain = store.reply

        def reply(path: str, headers: dict[str, str]) -> Answer:
            if path.endswith(f"renewed={good}") or (good == 0 and "renewed" not in path):
                return status, b"", {}
            return plain(path, headers)

        store.reply = reply  # type: ignore[method-assign]

    expire()
    body = open_remote(store, locate=locate)
    assert rejected == [store.url]
    check_all(body)
    if len(store.calls) > 1:
        expire()
        body.fetch([(start, start + 1000) for start in range(150_000, 800_000, 70_000)])
        check_all(body)
        assert rejected == [store.url, f"{store.url}&renewed=1"]


@WHOLE
@pytest.mark.usefixtures("threshold")
@pytest.mark.parametrize("fresh", [True, False])
def test_url_that_is_refused_again(store: Store, fresh: bool):
    rejected = []

    def locate(url: str | None) -> Location:
        rejected.append(url)
        return Location(store.url + (f"&{len(rejected)}" if fresh else ""))

    store.answer = lambda _: (403, b"", {})
    with pytest.raises(MissingObjectError, match=f"{WHAT}.*403") as caught:
        open_remote(store, locate=locate)
    assert SECRET not in str(caught.value)
    assert len(rejected) == 1
    assert len(store.calls) <= 4


# Secrets


def test_no_log_record_holds_a_signature(store: Store, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    store.script = [(307, b"", {"Location": store.url}), (503, b"", {}), (206, b"", {})]
    check_all(open_remote(store))
    logging.getLogger("urllib3.connectionpool").debug("of someone else")
    assert SECRET not in caplog.text
    assert "of someone else" in caplog.text


# In a process of its own: the tests' has threads, and a fork of it could wait for their locks.
FORKING = """
import os, sys
from datetime import UTC, datetime
from servicex_layer.model import Location, ResultFile
from servicex_layer.source import ResultSource
from servicex_layer.transfer import Remote

url, size = sys.argv[1], int(sys.argv[2])
file = ResultFile(1, datetime.now(UTC), "a.root", "in.root", 1, size)

def read():
    body = Remote(ResultSource(file, lambda _: Location(url), "a result"), Location(url))
    return bytes(body.read(0, size))

first = read()
child = os.fork()
same = all(read() == first for _ in range(20))
if child == 0:
    os._exit(not same)
_, status = os.waitpid(child, 0)
sys.exit(not same or status != 0)
"""


def test_forked_process_has_connections_of_its_own(store: Store):
    command = [sys.executable, "-c", FORKING, store.url, str(FILE.size)]
    subprocess.run(command, check=True, timeout=60)  # noqa: S603


# End to end

NAMES = ["a:b", "a b", "a%b%20", "a+b", "a*b", "a?b#c&d=e", "µ", "a'\"<>|\\~[]{}", "..a", "-"]


@pytest.fixture(scope="module")
def awkward_names(
    tmp_path_factory: pytest.TempPathFactory, write_file: Callable[..., Path]
) -> list[Path]:
    directory = tmp_path_factory.mktemp("awkward")
    return [
        write_file(directory / name, events={"x": np.full(3, index)})
        for index, name in enumerate(NAMES)
    ]


@pytest.mark.parametrize("result_format", ["root-file", "root-rntuple", "parquet"])
def test_awkward_names(
    service: LocalServiceX,
    awkward_names: list[Path],
    result_format: str,
    monkeypatch: pytest.MonkeyPatch,
):
    for name in ("_HEAD", "_TAIL", "_AHEAD"):
        monkeypatch.setattr(transfer, name, 100)
    request_id = service.submit(awkward_names, tree="events", result_format=result_format)
    array = from_servicex(request_id)
    with dask.config.set(scheduler="sync"):
        assert sorted(array.x.compute()) == sorted(3 * list(range(len(NAMES))))
        with dask.config.set({"servicex-layer.range-threshold": 0}):
            assert sorted(array.x.compute()) == sorted(3 * list(range(len(NAMES))))
    assert any(call.range is not None for call in service.traffic.files)


def test_headers_end_to_end(use_service: Callable[[LocalServiceX], None], inputs: list[Path]):
    with LocalServiceX(file_headers={"x-key": SECRET}) as service:
        use_service(service)
        array = from_servicex(service.submit(inputs, tree="events"), form="{x: float64}")
        assert len(array.compute(scheduler="sync")) == 40


def test_file_whose_bytes_are_of_another_size(store: Store):
    """A row that says too little of an object that is no ROOT file: still the object's name."""
    file = replace(FILE, size=10)
    with pytest.raises(CorruptResultError, match=WHAT):
        read(
            ResultSource(file, lambda _: Location(store.url), WHAT),
            as_form("{x: float64}"),
            None,
            None,
        )
