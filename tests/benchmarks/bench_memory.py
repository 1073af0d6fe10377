"""Memory that a scheduler keeps of requests that were computed and released.

The backend is scripted, over HTTP: it says of any request that it is complete, and has the same
rows. One task per request asks for all of its files and their URLs, as its partitions would: so
the scheduler's lists see what they would see, without 10 000 tasks of Dask's. Growth counts after
the third request, when what Dask itself allocates once is there.
"""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dask
import psutil  # type: ignore[import-untyped]
from _cluster import cluster_of  # type: ignore[import-not-found]
from _command_line import parse_numbers  # type: ignore[import-not-found]
from _spawn import SPAWN  # type: ignore[import-not-found]
from _table import print_table, verdict  # type: ignore[import-not-found]

import servicex_layer as sxl
from servicex_layer.feed import RequestRef, feed

_GROWTH_BOUND = 100.0
_BATCH = 256
_FORGET_AFTER = 1.0
_WARM_UPS = 3


def rows_of(files: int) -> list[dict[str, Any]]:
    """Return rows with names as long as real ones."""
    return [
        {
            "id": number + 1,
            "created_at": "2026-11-22T19:45:00.000000",
            "file-path": f"root://eospublic.cern.ch//store/data/Run2016/{number:08}.root",
            "s3-object-name": f"root:::eospublic.cern.ch::store:data:Run2016:{number:08}.root",
            "transform_status": "success",
            "total-events": 1000,
            "total-bytes": 100_000,
        }
        for number in range(files)
    ]


def handler_for(files: int) -> type[BaseHTTPRequestHandler]:
    """Return a handler that answers as a backend whose requests are all complete."""
    results = json.dumps({"results": rows_of(files)}).encode()
    capabilities = ["poll_local_transformation_results", "generate_file_urls"]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # TCP_NODELAY

        def do_GET(self) -> None:
            last = self.path.partition("?")[0].rpartition("/")[2]
            if last == "results":
                self._send(results)
            elif last == "servicex":
                self._send(json.dumps({"capabilities": capabilities}).encode())
            else:
                counters = {"files": files, "files-completed": files, "files-failed": 0}
                status = {"request_id": last, "status": "Complete", **counters}
                self._send(json.dumps(status).encode())

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            signature, expires = "0123456789abcdef" * 16, time.time() + 3600
            uris = {
                name: [f"http://127.0.0.1/{name}?signature={signature}", {}, expires]
                for name in body["file_list"]
            }
            self._send(json.dumps({"uris": uris}).encode())

        def _send(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def serve(files: int, pipe: Any) -> None:
    """Serve until the process is terminated."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_for(files))
    pipe.send(server.server_address[1])
    server.serve_forever()


@contextmanager
def scripted_backend(files: int) -> Iterator[None]:
    """Run the backend in a process of its own, and make it the configured one."""
    here, there = SPAWN.Pipe()
    process = SPAWN.Process(target=serve, args=(files, there), daemon=True)
    process.start()
    with TemporaryDirectory(prefix="servicex-layer-bench-") as directory:
        path = Path(directory) / "servicex.yaml"
        url = f"http://127.0.0.1:{here.recv()}"
        path.write_text(f"api_endpoints:\n  - name: scripted\n    endpoint: {url}\n")
        with dask.config.set({"servicex-layer.config-path": str(path)}):
            yield
    process.terminate()
    process.join()


def ask_for_all(request: RequestRef, files: int) -> int:
    """Ask for all files of a request, and once per batch for a URL; return how many there are."""
    found = 0
    for number in range(files):
        source = feed(request)
        file = source.get_nowait(number, files)
        if file is None:
            file = source.submit(source.get(number, files)).result()
        if number % _BATCH == 0:
            source.submit(source.locate(file.name)).result()  # type: ignore[union-attr]
        found += 1
    return found


def megabytes() -> float:
    """Return the memory of the scheduler's process, which is this one."""
    gc.collect()
    return float(psutil.Process().memory_info().rss / 1e6)


def main() -> None:
    """Compute requests one after the other, and compare the memory before and after."""
    options = parse_numbers(__doc__, memory_requests=100, memory_files=10_000)
    requests, files = options.memory_requests, options.memory_files
    with (
        dask.config.set({"servicex-layer.forget-after": _FORGET_AFTER}),
        scripted_backend(files),
        cluster_of(1) as client,
    ):
        sxl.register(client)
        plugin = client.cluster.scheduler.plugins["servicex-layer"]

        def compute(name: str) -> None:
            if client.submit(ask_for_all, RequestRef(name), files).result() != files:
                raise SystemExit("WRONG RESULT")

        for number in range(_WARM_UPS):
            compute(f"warm-up-{number}")
        while plugin.n_feeds:
            time.sleep(0.1)
        before = megabytes()
        compute("request-0")
        held = megabytes() - before
        for number in range(1, requests):
            compute(f"request-{number}")
        while plugin.n_feeds:
            time.sleep(0.1)
        growth = megabytes() - before
    head = ("scheduler's memory", "MB", "at most", "met")
    print_table(
        f"{requests} requests of {files} files, computed and released",
        head,
        [
            (
                f"one request, before it is forgotten ({1e6 * held / files:.0f} B/file)",
                f"{held:.1f}",
                "",
                "",
            ),
            ("growth per request", f"{growth / requests:.2f}", "", ""),
            ("growth", f"{growth:.1f}", f"{_GROWTH_BOUND:g}", verdict(growth, _GROWTH_BOUND)),
        ],
    )


if __name__ == "__main__":
    main()
