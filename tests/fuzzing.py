"""Compute with a server whose answers are those of a ServiceX, changed at random."""

from __future__ import annotations

import io
import itertools
import json
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

import dask
import numpy as np
import uproot
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from servicex_layer import from_servicex
from servicex_layer.errors import FailedFilesWarning, ServiceXLayerError

FORM = "{x: float64}"
ROUTES = ("info", "token", "status", "results", "file-urls")
_FILES = 3
_NEVER = 4102444800.0
_START = datetime(2026, 11, 22, 20, 0, tzinfo=UTC)
_BOUNDS = {
    "poll-interval": "1ms",
    "connect-timeout": "500ms",
    "read-timeout": "1s",
    "retry-timeout": "50ms",
    "timeout": "100ms",
}
Document = Any

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(0, 5)
    | st.integers()
    | st.floats()
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
bodies = st.sampled_from([b"", b"{", b"[]", b"null", b"<html></html>", b"\xff\xfe", b"[" * 5000])
statuses = st.sampled_from([204, 206, 304, 400, 401, 403, 404, 418, 500, 503])


class Server:
    """The answers of a server, by route, and the result files."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.results = [_root_file(index) for index in range(_FILES)]
        self.url = ""

    def answer(self, path: str) -> tuple[int, bytes]:
        """Return the status and the body of an answer."""
        path = path.partition("?")[0]
        if path.startswith("/result/"):
            index = path.removeprefix("/result/")
            known = index.isascii() and index.isdecimal() and int(index) < _FILES
            return (200, self.results[int(index)]) if known else (404, b"")
        last = path.rpartition("/")[2]
        names = {"servicex": "info", "refresh": "token", "results": "results"}
        route = "file-urls" if last == "file-urls" else names.get(last, "status")
        return self.answers[route]

    def correct_answers(self, request_id: str, failed: list[bool]) -> dict[str, Document]:
        """Return the answers of a ServiceX about a complete request, by route."""
        count = len(failed)
        rows = [
            {
                "id": 10 + 2 * index,
                "request-id": request_id,
                "file-id": index,
                "file-path": f"root://input/{index}.root",
                "s3-object-name": "none" if fails else f"{index}.root",
                "transform_status": "failure" if fails else "success",
                "transform_time": 1,
                "total-events": 0 if fails else 3,
                "total-bytes": 0 if fails else len(self.results[index]),
                "avg-rate": 1.5,
                "created_at": (_START + timedelta(seconds=index)).replace(tzinfo=None).isoformat(),
            }
            for index, fails in enumerate(failed)
        ]
        return {
            "info": {
                "app-version": "2",
                "code-gen-image": {"uproot": "image"},
                "capabilities": ["poll_local_transformation_results", "generate_file_urls"],
            },
            "token": {"access_token": "an.access.token"},
            "status": {
                "request_id": request_id,
                "did": "a-dataset",
                "did_id": 7,
                "result-destination": "object-store",
                "result-format": "root-file",
                "status": "Complete",
                "failure-info": "",
                "files": count,
                "files-completed": failed.count(False),
                "files-failed": failed.count(True),
                "files-remaining": 0,
                "log-url": None,
            },
            "results": {"results": rows},
            "file-urls": {
                "uris": {
                    f"{index}.root": [f"{self.url}/result/{index}", {}, _NEVER]
                    for index, fails in enumerate(failed)
                    if not fails
                }
            },
        }


@contextmanager
def serving() -> Iterator[Server]:
    """Serve over HTTP, as the backend of this process."""
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, body = server.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815  (a name of http.server)

        def log_message(self, *_: Any) -> None:
            pass

    class QuietServer(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            """Ignore clients that hang up."""

    http = QuietServer(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{http.server_address[1]}"
    thread = Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    try:
        with TemporaryDirectory() as directory:
            path = Path(directory, "servicex.yaml")
            endpoint = f"{{name: any, endpoint: '{server.url}', token: a.refresh.token}}"
            path.write_text(f"api_endpoints: [{endpoint}]")
            bounds = {f"servicex-layer.{name}": value for name, value in _BOUNDS.items()}
            with dask.config.set({"servicex-layer.config-path": str(path), **bounds}):
                yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


def run(examples: int) -> tuple[Counter[str], float]:
    """Compute a number of times with answers changed at random.

    Returns
    -------
    outcomes : collections.Counter
        The number of right results, and of each kind of error.
    longest : float
        Seconds of the longest computation.

    Raises
    ------
    BaseException
        If a computation gave a wrong result, or an error that is not of this package.
    """
    outcomes: Counter[str] = Counter()
    longest = 0.0
    numbers = itertools.count()
    with serving() as server:

        @settings(
            max_examples=examples,
            print_blob=True,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(st.data())
        def compute(data: st.DataObject) -> None:
            nonlocal longest
            # Ids of one length: Hypothesis draws by the length of the answers.
            request_id = f"request-{next(numbers):08}"
            failed = data.draw(st.lists(st.booleans(), max_size=_FILES))
            documents = server.correct_answers(request_id, failed)
            server.answers = {
                route: (200, json.dumps(document).encode()) for route, document in documents.items()
            }
            for route in data.draw(st.lists(st.sampled_from(ROUTES), min_size=1, max_size=2)):
                server.answers[route] = _changed(data.draw, documents[route])
            start = time.perf_counter()
            outcome = _outcome(request_id, failed)
            longest = max(longest, time.perf_counter() - start)
            outcomes[outcome] += 1

        compute()
    return outcomes, longest


def _outcome(request_id: str, failed: list[bool]) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FailedFilesWarning)
        try:
            x = from_servicex(request_id, form=FORM).x.compute(scheduler="sync").tolist()
        except ServiceXLayerError as error:
            return type(error).__name__
    kept = [index for index, fails in enumerate(failed) if not fails]
    expected = [value for index in kept for value in _events(index)]
    # Changed times may change the order of the files.
    assert sorted(x) == expected, f"{x} is wrong, {expected} is right"
    return "the right result"


def _changed(draw: Callable[..., Any], document: Document) -> tuple[int, bytes]:
    kind = draw(st.sampled_from(["value"] * 12 + ["body", "status", "cut"]))
    whole = json.dumps(document).encode()
    if kind == "body":
        return 200, draw(bodies)
    if kind == "status":
        return draw(statuses), whole
    if kind == "cut":
        return 200, whole[: draw(st.integers(0, len(whole) - 1))]
    for _ in range(draw(st.integers(1, 3))):
        document = _mutated(draw, document)
    return 200, json.dumps(document).encode()


def _mutated(draw: Callable[..., Any], document: Document) -> Document:
    """Replace, delete, repeat or copy a value somewhere in a document."""
    document = json.loads(json.dumps(document))
    places = list(_places(document))
    if not places:
        return draw(values)
    container, key = draw(st.sampled_from(places))
    change = draw(st.sampled_from(["replace", "delete", "repeat", "copy"]))
    if change == "delete":
        del container[key]
    elif change == "repeat" and isinstance(container, list):
        container.insert(key, container[key])
    elif change == "copy":
        other, place = draw(st.sampled_from(places))
        # No client can notice a server that gives one result's URL for another.
        if not _holds_url(other[place]):
            container[key] = json.loads(json.dumps(other[place]))
    else:
        container[key] = draw(values)
    return document


def _places(document: Document) -> Iterator[tuple[Any, Any]]:
    items = (
        document.items()
        if isinstance(document, dict)
        else enumerate(document)
        if isinstance(document, list)
        else ()
    )
    for key, value in items:
        yield document, key
        yield from _places(value)


def _holds_url(value: Document) -> bool:
    return "/result/" in json.dumps(value)


def _events(index: int) -> list[float]:
    return [100.0 * index + x for x in range(3)]


def _root_file(index: int) -> bytes:
    buffer = io.BytesIO()
    with uproot.recreate(buffer) as file:
        file.mktree("events", {"x": np.array(_events(index))})
        return buffer.getvalue()
