"""Some columns of a file over HTTP: here, by `uproot.open(url)`, and by download-then-read.

Needs aiohttp, for `uproot.open(url)`, and measures with nginx where there is one.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib.metadata
import importlib.util
import multiprocessing
import os
import platform
import shutil
import socket
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import awkward as ak
import click
import numpy as np
import psutil  # type: ignore[import-untyped]
import tenacity
import uproot
import urllib3
from _common import show, verdict  # type: ignore[import-not-found]
from awkward.forms import NumpyForm, RecordForm

from servicex_layer._model import Location, ResultFile
from servicex_layer.reading._read import read
from servicex_layer.transport._result import ResultSource

_DOCS = Path(__file__).parents[2] / "docs" / "reading-benchmark.md"
_HOST = "127.0.0.1"
_MEGABYTES = (1, 20, 200)
_COLUMNS = (1, 10, 100)
_BASKETS = 8
_LATENCY = 0.020
_NAMES = [f"x{index:02}" for index in range(100)]
_TREE = "events"
_OURS = "servicex_layer"
# Of each reading; quick ones are repeated more often.
_LEAST_SECONDS = 2.0

# The bounds that are looked at.
_MOST_RATIO = 1.05
_MOST_BYTES = 1.2
_MOST_RATIO_OF_ONE_COLUMN = 1 / 3
_MOST_REQUESTS = 2

# Not fork: there are threads here.
_processes = multiprocessing.get_context("spawn")


# The server


@contextmanager
def served(directory: Path) -> Iterator[tuple[str, int]]:
    """Serve a directory; gives the server's name and port."""
    nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if nginx is None:
        click.echo("There is no nginx: the embedded ServiceX's server serves the files instead.")
    port = _free_port()
    with _nginx(nginx, directory, port) if nginx else _uvicorn(directory, port) as name:
        _wait_until_listening(port)
        yield name, port


@contextmanager
def _nginx(nginx: str, directory: Path, port: int) -> Iterator[str]:
    with TemporaryDirectory(prefix="servicex-layer-nginx-") as own:
        paths = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        config = Path(own) / "nginx.conf"
        # One process: there would be no more use for a second, and none changes its user.
        config.write_text(f"""
            daemon off;
            master_process off;
            pid {own}/pid;
            events {{ }}
            http {{
                access_log off;
                sendfile on;
                keepalive_requests 1000000;
                default_type application/octet-stream;
                {" ".join(f"{path}_temp_path {own}/{path};" for path in paths)}
                server {{
                    listen {_HOST}:{port};
                    root {directory};
                }}
            }}
            """)
        version = subprocess.run([nginx, "-v"], check=True, capture_output=True, text=True)  # noqa: S603
        command = [nginx, "-p", own, "-c", str(config), "-e", "stderr"]
        with subprocess.Popen(command) as process:  # noqa: S603
            try:
                yield version.stderr.strip().rpartition(" ")[2].replace("/", " ")
            finally:
                process.terminate()


@contextmanager
def _uvicorn(directory: Path, port: int) -> Iterator[str]:
    process = _processes.Process(target=_serve, args=(directory, port))
    process.start()
    try:
        yield f"uvicorn {importlib.metadata.version('uvicorn')}"
    finally:
        process.terminate()
        process.join()


def _serve(directory: Path, port: int) -> None:
    import uvicorn
    from starlette.staticfiles import StaticFiles

    uvicorn.run(StaticFiles(directory=directory), host=_HOST, port=port, log_level="error")


def _free_port() -> int:
    with closing(socket.create_server((_HOST, 0))) as taken:
        port: int = taken.getsockname()[1]
    return port


@tenacity.retry(
    retry=tenacity.retry_if_exception_type(ConnectionRefusedError),
    wait=tenacity.wait_fixed(0.05),
    stop=tenacity.stop_after_delay(30),
    reraise=True,
)
def _wait_until_listening(port: int) -> None:
    socket.create_connection((_HOST, port)).close()


# The proxy


@dataclass(frozen=True)
class Proxy:
    """A process before the server that delays each request, and counts what goes through."""

    port: int
    latency: Synchronized[float]
    requests: Synchronized[int]
    received: Synchronized[int]

    @contextmanager
    def delaying(self, latency: float) -> Iterator[None]:
        """Delay requests, within this context."""
        self.latency.value = latency
        try:
            yield
        finally:
            self.latency.value = 0.0

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count from zero on."""
        self.requests.value = self.received.value = 0
        yield


@contextmanager
def proxied(port: int) -> Iterator[Proxy]:
    """Run a proxy before a port."""
    pipe, other = _processes.Pipe()
    latency = _processes.Value("d", 0.0)
    requests, received = _processes.Value("q", 0), _processes.Value("q", 0)
    arguments = (other, port, latency, requests, received)
    process = _processes.Process(target=_run_proxy, args=arguments)
    process.start()
    try:
        yield Proxy(pipe.recv(), latency, requests, received)
    finally:
        process.terminate()
        process.join()


def _run_proxy(
    pipe: Connection,
    port: int,
    latency: Synchronized[float],
    requests: Synchronized[int],
    received: Synchronized[int],
) -> None:
    # Sockets, not streams: these copy what goes through twice more.
    async def forward(source: socket.socket, sink: socket.socket) -> None:
        while some := await loop().sock_recv(source, 1 << 16):
            requests.value += some.count(b" HTTP/1.1\r\n")
            await asyncio.sleep(latency.value)
            await loop().sock_sendall(sink, some)

    async def back(source: socket.socket, sink: socket.socket) -> None:
        buffer = memoryview(bytearray(1 << 20))
        while size := await loop().sock_recv_into(source, buffer):
            received.value += size
            await loop().sock_sendall(sink, buffer[:size])

    async def serve(near: socket.socket) -> None:
        with near, socket.socket() as far:
            for one in (near, far):
                one.setblocking(False)
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop().sock_connect(far, (_HOST, port))
            ways = [
                asyncio.ensure_future(forward(near, far)),
                asyncio.ensure_future(back(far, near)),
            ]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
                # A client may hang up in the middle of a body.
                with suppress(asyncio.CancelledError, ConnectionError):
                    await way

    async def run() -> None:
        with socket.create_server((_HOST, 0)) as server:
            server.setblocking(False)
            pipe.send(server.getsockname()[1])
            connections = set()
            while True:
                near, _ = await loop().sock_accept(server)
                connections.add(asyncio.ensure_future(serve(near)))

    loop = asyncio.get_running_loop
    asyncio.run(run())


# The files, and the three ways to read one


def write(path: Path, megabytes: int) -> None:
    """Write a tree of 100 columns, in several baskets each.

    Not compressed: to decompress is the same work for all, and hides what differs.
    """
    chance = np.random.default_rng(megabytes)
    events = megabytes * 1_000_000 // (8 * len(_NAMES) * _BASKETS)
    with uproot.recreate(path, compression=None) as file:
        tree = file.mktree(_TREE, dict.fromkeys(_NAMES, "float64"))
        for _ in range(_BASKETS):
            tree.extend({name: chance.normal(size=events) for name in _NAMES})


def needed(path: Path, columns: Sequence[str]) -> int:
    """Count the bytes of these columns' baskets and of all that is no basket."""
    with uproot.open(path) as file:
        baskets = {
            branch.name: int(branch.member("fBasketBytes").sum()) for branch in file[_TREE].branches
        }
    metadata = path.stat().st_size - sum(baskets.values())
    return metadata + sum(baskets[name] for name in columns)


@dataclass(frozen=True)
class Case:
    """Some columns of a file."""

    path: Path
    megabytes: int
    columns: Sequence[str]

    def __str__(self) -> str:
        number = len(self.columns)
        return f"{self.megabytes} MB, {number} column{'s' if number > 1 else ''}"


def by_us(case: Case, url: str) -> Any:
    """Read as a task does."""
    size = case.path.stat().st_size
    file = ResultFile(1, datetime.now(UTC), case.path.name, "input.root", 1, size)
    form = RecordForm([NumpyForm("float64")] * len(_NAMES), _NAMES)
    columns = frozenset(case.columns)
    source = ResultSource(file, lambda _: Location(url), f"Result {file.name!r}")
    layout = read(source, form, columns, _TREE)
    return ak.Array(layout)


def by_uproot(case: Case, url: str) -> Any:
    """Read as `uproot.open(url)` does."""
    with uproot.open({url: _TREE}) as tree:
        return tree.arrays(case.columns)


def by_download(case: Case, url: str) -> Any:
    """Download, then read."""
    with TemporaryDirectory(prefix="servicex-layer-bench-") as directory:
        path = Path(directory) / case.path.name
        with (
            _downloads.request("GET", url, preload_content=False) as response,
            path.open("wb") as file,
        ):
            shutil.copyfileobj(response, file, 1 << 20)
        with uproot.open({path: _TREE}) as tree:
            return tree.arrays(case.columns)


_downloads = urllib3.PoolManager()
_WAYS: dict[str, Callable[[Case, str], Any]] = {
    _OURS: by_us,
    "uproot.open(url)": by_uproot,
    "download": by_download,
}


# What is measured


@dataclass(frozen=True)
class Moved:
    """What went over the wire in one read."""

    requests: int
    received: int


Seconds = dict[str, float]


def moved(case: Case, proxy: Proxy) -> dict[str, Moved]:
    """Count what each way moves, and check that all read the same; this also warms them up."""
    counted, found = {}, {}
    for name, way in _WAYS.items():
        with proxy.counting():
            found[name] = way(case, _url(case, proxy.port))
        counted[name] = Moved(proxy.requests.value, proxy.received.value)
    first, *others = found.values()
    for column in case.columns:
        values = [ak.to_numpy(array[column]) for array in (first, *others)]
        if not len(values[0]) or not all(np.array_equal(values[0], other) for other in values[1:]):
            raise SystemExit(f"WRONG RESULT: the column {column} of {case} is not the same for all")
    return counted


def seconds(case: Case, port: int, rounds: int) -> Seconds:
    """Measure the ways in turn, several times; gives medians."""
    taken: dict[str, list[float]] = {name: [] for name in _WAYS}
    begin = time.perf_counter()
    while len(taken[_OURS]) < rounds or time.perf_counter() - begin < _LEAST_SECONDS:
        for name, way in _WAYS.items():
            gc.collect()
            start = time.perf_counter()
            way(case, _url(case, port))
            taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in taken.items()}


def cost_of_proxy(case: Case, ports: Sequence[int], rounds: int) -> Iterator[tuple[float, float]]:
    """Measure a call and a download over each port; gives medians in seconds."""
    for port in ports:
        calls, downloads = [], []
        for _ in range(rounds):
            start = time.perf_counter()
            _downloads.request("GET", _url(case, port), headers={"Range": "bytes=0-99"})
            between = time.perf_counter()
            with _downloads.request("GET", _url(case, port), preload_content=False) as response:
                while response.read(1 << 20):
                    pass
            downloads.append(time.perf_counter() - between)
            calls.append(between - start)
        yield statistics.median(calls), statistics.median(downloads)


def ratio(times: Seconds) -> float:
    """Divide our time by that of the faster of the two others."""
    ours, *others = times.values()
    return ours / min(others)


def _url(case: Case, port: int) -> str:
    return f"http://{_HOST}:{port}/{case.path.name}"


# What is shown


@dataclass(frozen=True)
class Table:
    """A table with its title."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """Write it as Markdown."""
        ruler = ["---"] + ["---:"] * (len(self.head) - 1)
        lines = ["| " + " | ".join(row) + " |" for row in (self.head, ruler, *self.rows)]
        return "\n".join([f"## {self.title}", "", *lines, ""])


def table_of_moved(counts: dict[Case, dict[str, Moved]]) -> Table:
    """Show bytes and requests."""
    head = ["", *(f"{name}, {what}" for what in ("MB", "requests") for name in _WAYS)]
    rows = [
        [
            str(case),
            *(f"{one.received / 1e6:.2f}" for one in counted.values()),
            *(str(one.requests) for one in counted.values()),
        ]
        for case, counted in counts.items()
    ]
    return Table("Bytes and requests", head, rows)


def table_of_seconds(latency: float, times: dict[Case, Seconds]) -> Table:
    """Show seconds."""
    title = f"Seconds, with {latency * 1e3:.0f} ms added to each request"
    head = ["", *_WAYS, "against the faster"]
    rows = [
        [str(case), *(f"{one:.4f}" for one in found.values()), f"{ratio(found):.2f}"]
        for case, found in times.items()
    ]
    return Table(title, head, rows)


def table_of_targets(
    counts: dict[Case, dict[str, Moved]], times: dict[float, dict[Case, Seconds]]
) -> Table:
    """Show what is aimed at."""
    rows = [
        _target(f"seconds against the faster, {case}, {latency * 1e3:.0f} ms", ratio(found), bound)
        for latency, found_at in times.items()
        for case, found in found_at.items()
        for bound in [
            _MOST_RATIO_OF_ONE_COLUMN
            if latency and case.megabytes == max(_MEGABYTES) and len(case.columns) == 1
            else _MOST_RATIO
        ]
    ]
    for case, counted in counts.items():
        ours = counted[_OURS]
        if case.megabytes == min(_MEGABYTES):
            rows.append(_target(f"requests, {case}", ours.requests, _MOST_REQUESTS))
        if case.megabytes == max(_MEGABYTES) and len(case.columns) == 1:
            share = ours.received / needed(case.path, case.columns)
            rows.append(
                _target(f"bytes against its baskets and metadata, {case}", share, _MOST_BYTES)
            )
    return Table("Targets", ("", "is", "at most", "kept"), rows)


def _target(what: str, value: float, most: float) -> Sequence[str]:
    return what, f"{value:.2f}", f"{most:.2f}", verdict(value, most)


_INTRODUCTION = f"""\
# Reading: a benchmark

`tests/benchmarks/bench_reading.py --write-docs` wrote this page.

A ROOT file with a TTree of 100 columns of `float64`, in {_BASKETS} baskets each and not \
compressed, is read over HTTP on loopback in three ways: as a partition of `from_servicex` is, by \
`uproot.open(url)` as it is, and by downloading it and opening the copy. All three read the same \
values. Bytes are those of whole answers, with their heads. Seconds are medians; the three take \
turns, and have read the file before, so that what they keep open or cached is there.

"""


def setting(server: str, rounds: int, proxy_cost: Sequence[tuple[float, float]]) -> str:
    """Tell what was measured with, and what the proxy adds."""
    packages = ("servicex_layer", "uproot", "awkward", "fsspec", "aiohttp", "urllib3")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    memory = psutil.virtual_memory().total / 1e9
    (call, download), (call_through, download_through) = proxy_cost
    return (
        f"Measured on {datetime.now(UTC):%Y-%m-%d} with {os.cpu_count()} cores and "
        f"{memory:.0f} GB of memory, Python {platform.python_version()}, {versions}; {server}; "
        f"medians of {rounds} or more.\n\n"
        f"Without latency the server is called directly. Latency is added by a proxy, which by "
        f"itself adds {(call_through - call) * 1e3:.1f} ms to a small call "
        f"({call * 1e3:.1f} ms without), and "
        f"{(download_through - download) * 1e3:.0f} ms to a download of {max(_MEGABYTES)} MB "
        f"({download * 1e3:.0f} ms without)."
    )


def write_docs(told: str, tables: Iterable[Table]) -> None:
    """Write the page of the documentation."""
    parts = [_INTRODUCTION, told, "\n\n", "\n".join(table.markdown() for table in tables)]
    _DOCS.write_text("".join(parts))


def main() -> None:
    """Measure, and show it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="reads of each kind; %(default)s")
    parser.add_argument("--write-docs", action="store_true", help=f"write docs/{_DOCS.name}")
    # nox hands all benchmarks the same arguments.
    options, _ = parser.parse_known_args()
    if importlib.util.find_spec("aiohttp") is None:
        raise SystemExit("uproot.open(url) needs aiohttp: python3 -m pip install aiohttp")
    counts: dict[Case, dict[str, Moved]] = {}
    times: dict[float, dict[Case, Seconds]] = {0.0: {}, _LATENCY: {}}
    with (
        TemporaryDirectory(prefix="servicex-layer-bench-") as directory,
        served(Path(directory)) as (server, port),
        proxied(port) as proxy,
    ):
        paths = [Path(directory) / f"{megabytes}.root" for megabytes in _MEGABYTES]
        for path, megabytes in zip(paths, _MEGABYTES, strict=True):
            write(path, megabytes)
        cases = [
            Case(path, megabytes, tuple(_NAMES[:: len(_NAMES) // number]))
            for path, megabytes in zip(paths, _MEGABYTES, strict=True)
            for number in _COLUMNS
        ]
        cost = list(cost_of_proxy(cases[-1], [port, proxy.port], options.rounds))
        for case in cases:
            counts[case] = moved(case, proxy)
            times[0.0][case] = seconds(case, port, options.rounds)
            with proxy.delaying(_LATENCY):
                times[_LATENCY][case] = seconds(case, proxy.port, options.rounds)
        tables = [
            table_of_moved(counts),
            *(table_of_seconds(latency, found) for latency, found in times.items()),
            table_of_targets(counts, times),
        ]
    told = setting(server, options.rounds, cost)
    click.echo(told)
    for table in tables:
        show(table.title, table.head, table.rows)
    if options.write_docs:
        write_docs(told, tables)


if __name__ == "__main__":
    main()
