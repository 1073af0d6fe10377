"""An object store of one object, with answers that each test writes."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from servicex_layer._model import Location, ResultFile
from servicex_layer.transport import ByteSource, ResultSource
from servicex_layer.transport._byte_source import ObjectBytes

DESCRIPTION = "Result 'a.root' of request R"
BODY = random.Random(1).randbytes(1_000_000)
FILE = ResultFile(1, datetime.now(UTC), "a.root", "a", 1, len(BODY))
SECRET = "AKIASECRET"
END_SIZE, READ_AHEAD = 65_536, 32_768

Range = tuple[int, int]
Answer = tuple[int, bytes, Mapping[str, str]]
"""Status, body and headers; with a `Content-Length`, the answer is the last of its connection."""


def send_range(byte_range: Range | None, body: bytes = BODY, etag: str = '"1"') -> Answer:
    """Answer as an object store does."""
    if byte_range is None:
        return 200, body, {"ETag": etag}
    start, stop = byte_range[0], min(byte_range[1], len(body))
    headers = {"Content-Range": f"bytes {start}-{stop - 1}/{len(body)}", "ETag": etag}
    return 206, body[start:stop], headers


def cut_off(byte_range: Range | None) -> Answer:
    """Close the connection before the last byte."""
    status, body, headers = send_range(byte_range)
    return status, body[:-1], {**headers, "Content-Length": str(len(body))}


@dataclass
class Call:
    path: str
    byte_range: Range | None
    headers: dict[str, str]


@dataclass
class ScriptedStore:
    url: str = ""
    answer: Callable[[Range | None], Answer] = send_range
    script: list[Answer | None] = field(default_factory=list)
    """The first answers; ``None`` stands for that of `answer`."""
    is_rejected: Callable[[str], int | None] = lambda _: None
    """Return the status with which to reject a path."""
    calls: list[Call] = field(default_factory=list)
    connections: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def ranges(self) -> list[Any]:
        return [call.byte_range for call in self.calls]

    def reply(self, path: str, headers: dict[str, str]) -> Answer:
        byte_range = None
        if "range" in headers:
            first, last = headers["range"].removeprefix("bytes=").split("-")
            byte_range = int(first), int(last) + 1
        with self.lock:
            self.calls.append(Call(path, byte_range, headers))
            status = self.is_rejected(path)
            scripted = self.script.pop(0) if self.script and status is None else None
        if status is not None:
            return status, b"", {}
        return self.answer(byte_range) if scripted is None else scripted


@contextmanager
def serve(store: ScriptedStore) -> Iterator[None]:
    """Serve a store over HTTP, and set its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            with store.lock:
                store.connections += 1

        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, body, answer_headers = store.reply(self.path, headers)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **answer_headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = "Content-Length" in answer_headers

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    class Server(ThreadingHTTPServer):
        # Clients keep their connections.
        block_on_close = False
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """Ignore clients that went away."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    store.url = f"http://127.0.0.1:{server.server_address[1]}/R/a.root?X-Signature={SECRET}"
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def open_object(
    store: ScriptedStore,
    size: int = len(BODY),
    locate: Callable[[str | None], Location] | None = None,
) -> ObjectBytes:
    """Open the store's object, announced with a size."""
    location = Location(store.url, {"x-key": SECRET})
    source = ResultSource(replace(FILE, size=size), locate or (lambda _: location), DESCRIPTION)
    return ObjectBytes(source, location, end_size=END_SIZE, read_ahead=READ_AHEAD)


def check_reads(body: ByteSource, expected: bytes = BODY) -> None:
    """Read pieces from everywhere, some of them prefetched, some overlapping."""
    chance = random.Random(2)
    ranges = [(0, 1), (len(expected) - 1, len(expected)), (1, 1)]
    for _ in range(20):
        start = chance.randrange(len(expected))
        ranges.append((start, min(len(expected), start + chance.randrange(50_000))))
    body.fetch(ranges[::2])
    for start, stop in ranges:
        assert body.read(start, stop) == expected[start:stop]
