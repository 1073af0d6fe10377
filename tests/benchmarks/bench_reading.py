"""Columns of one file over HTTP: read as a task does, by `uproot.open(url)`, and by download.

Needs aiohttp, for `uproot.open(url)`. If nginx is installed, it serves the file.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import shutil
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import awkward as ak
import click
import numpy as np
import uproot
import urllib3
from _environment import describe_environment  # type: ignore[import-not-found]
from _file_server import HOST, file_server  # type: ignore[import-not-found]
from _proxy import Proxy, Traffic, proxy_to  # type: ignore[import-not-found]
from _table import markdown_table, print_table, verdict  # type: ignore[import-not-found]
from _wide_files import BASKETS, FORM, NAMES, write_wide_file  # type: ignore[import-not-found]

from servicex_layer._model import Location, ResultFile
from servicex_layer.reading import read
from servicex_layer.transport import ResultSource

_DOCS = Path(__file__).parents[2] / "docs" / "reading-benchmark.md"
_PACKAGES = ("servicex_layer", "uproot", "awkward", "fsspec", "aiohttp", "urllib3")
_MEGABYTES = (1, 20, 200)
_COLUMN_COUNTS = (1, 10, 100)
_LATENCY = 0.020
_OURS = "servicex_layer"
# Quick reads are repeated for at least this long.
_LEAST_SECONDS = 2.0

_RATIO_BOUND = 1.05
_RATIO_BOUND_OF_ONE_COLUMN = 1 / 3
_BYTES_BOUND = 1.2
_REQUESTS_BOUND = 2

# Seconds by reader.
Times = dict[str, float]


@dataclass(frozen=True)
class Case:
    """Columns of a file."""

    path: Path
    megabytes: int
    columns: Sequence[str]

    def __str__(self) -> str:
        count = len(self.columns)
        return f"{self.megabytes} MB, {count} column{'s' if count > 1 else ''}"

    def url(self, port: int) -> str:
        """Return the file's URL at a port of this machine."""
        return f"http://{HOST}:{port}/{self.path.name}"

    def needed_bytes(self) -> int:
        """Count the bytes of the columns' baskets and of everything outside baskets."""
        with uproot.open(self.path) as file:
            baskets = {
                branch.name: int(branch.member("fBasketBytes").sum())
                for branch in file["events"].branches
            }
        metadata = self.path.stat().st_size - sum(baskets.values())
        return metadata + sum(baskets[name] for name in self.columns)


# Three readers


def read_as_task(case: Case, url: str) -> Any:
    """Read as a partition of `from_servicex` does."""
    size = case.path.stat().st_size
    file = ResultFile(1, datetime.now(UTC), case.path.name, "input.root", 1, size)
    source = ResultSource(file, lambda _: Location(url), f"Result {file.name!r}")
    return ak.Array(read(source, FORM, frozenset(case.columns), "events"))


def read_with_uproot(case: Case, url: str) -> Any:
    """Read with `uproot.open(url)`."""
    with uproot.open({url: "events"}) as tree:
        return tree.arrays(case.columns)


def download_and_read(case: Case, url: str) -> Any:
    """Download the file, then read the copy."""
    with TemporaryDirectory(prefix="servicex-layer-bench-") as directory:
        path = Path(directory) / case.path.name
        with (
            _pool.request("GET", url, preload_content=False) as response,
            path.open("wb") as file,
        ):
            shutil.copyfileobj(response, file, 1 << 20)
        with uproot.open({path: "events"}) as tree:
            return tree.arrays(case.columns)


_pool = urllib3.PoolManager()
_READERS: dict[str, Callable[[Case, str], Any]] = {
    _OURS: read_as_task,
    "uproot.open(url)": read_with_uproot,
    "download": download_and_read,
}


# Measurements


def measure_traffic(case: Case, proxy: Proxy) -> dict[str, Traffic]:
    """Count each reader's requests and bytes, and check that all read the same values.

    This also opens connections and fills caches.
    """
    traffic, arrays = {}, {}
    for name, reader in _READERS.items():
        proxy.take_traffic()
        arrays[name] = reader(case, case.url(proxy.port))
        traffic[name] = proxy.take_traffic()
    for column in case.columns:
        first, *others = [ak.to_numpy(array[column]) for array in arrays.values()]
        if not len(first) or not all(np.array_equal(first, other) for other in others):
            raise SystemExit(f"WRONG RESULT: readers disagree on column {column} of {case}")
    return traffic


def measure_times(case: Case, port: int, rounds: int) -> Times:
    """Time the readers in turns, and return medians."""
    times: dict[str, list[float]] = {name: [] for name in _READERS}
    begin = time.perf_counter()
    while len(times[_OURS]) < rounds or time.perf_counter() - begin < _LEAST_SECONDS:
        for name, reader in _READERS.items():
            gc.collect()
            start = time.perf_counter()
            reader(case, case.url(port))
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(each) for name, each in times.items()}


def measure_proxy(case: Case, ports: Sequence[int], rounds: int) -> Iterator[tuple[float, float]]:
    """Time a small call and a download over each port; yields medians in seconds."""
    for port in ports:
        calls, downloads = [], []
        for _ in range(rounds):
            start = time.perf_counter()
            _pool.request("GET", case.url(port), headers={"Range": "bytes=0-99"})
            between = time.perf_counter()
            with _pool.request("GET", case.url(port), preload_content=False) as response:
                while response.read(1 << 20):
                    pass
            downloads.append(time.perf_counter() - between)
            calls.append(between - start)
        yield statistics.median(calls), statistics.median(downloads)


def ratio_to_faster(times: Times) -> float:
    """Divide our time by that of the faster of the two peers."""
    ours, *peers = times.values()
    return ours / min(peers)


# Tables


@dataclass(frozen=True)
class Table:
    """A table with its title."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """Return a section of a page."""
        return f"## {self.title}\n\n{markdown_table(self.head, self.rows, text_columns=1)}\n"


def table_of_traffic(traffic: dict[Case, dict[str, Traffic]]) -> Table:
    """Show bytes and requests."""
    head = ["", *(f"{name}, {unit}" for unit in ("MB", "requests") for name in _READERS)]
    rows = [
        [
            str(case),
            *(f"{counts.received / 1e6:.2f}" for counts in by_reader.values()),
            *(str(counts.requests) for counts in by_reader.values()),
        ]
        for case, by_reader in traffic.items()
    ]
    return Table("Bytes and requests", head, rows)


def table_of_times(latency: float, times: dict[Case, Times]) -> Table:
    """Show seconds."""
    title = f"Seconds, with {latency * 1e3:.0f} ms added to each request"
    head = ["", *_READERS, "ratio to the faster peer"]
    rows = [
        [
            str(case),
            *(f"{seconds:.4f}" for seconds in by_reader.values()),
            f"{ratio_to_faster(by_reader):.2f}",
        ]
        for case, by_reader in times.items()
    ]
    return Table(title, head, rows)


def table_of_targets(
    traffic: dict[Case, dict[str, Traffic]], times: dict[float, dict[Case, Times]]
) -> Table:
    """Show the bounds and whether they are met."""
    rows = []
    for latency, by_case in times.items():
        for case, by_reader in by_case.items():
            one_of_largest = case.megabytes == max(_MEGABYTES) and len(case.columns) == 1
            rows.append(
                _target(
                    f"ratio of seconds to the faster peer, {case}, {latency * 1e3:.0f} ms",
                    ratio_to_faster(by_reader),
                    _RATIO_BOUND_OF_ONE_COLUMN if latency and one_of_largest else _RATIO_BOUND,
                )
            )
    for case, counts_by_reader in traffic.items():
        ours = counts_by_reader[_OURS]
        if case.megabytes == min(_MEGABYTES):
            rows.append(_target(f"requests, {case}", ours.requests, _REQUESTS_BOUND))
        if case.megabytes == max(_MEGABYTES) and len(case.columns) == 1:
            rows.append(
                _target(
                    f"ratio of bytes to its baskets and metadata, {case}",
                    ours.received / case.needed_bytes(),
                    _BYTES_BOUND,
                )
            )
    return Table("Targets", ("", "measured", "at most", "met"), rows)


def _target(name: str, value: float, bound: float) -> Sequence[str]:
    return name, f"{value:.2f}", f"{bound:.2f}", verdict(value, bound)


# The page

_INTRODUCTION = f"""\
# Reading: a benchmark

`tests/benchmarks/bench_reading.py --write-docs` writes this page.

It reads an uncompressed ROOT file over HTTP on loopback in three ways: as a partition of \
`from_servicex` does, with `uproot.open(url)`, and by downloading the file and opening the copy. \
The file has a TTree of 100 `float64` columns, in {BASKETS} baskets each. All three read the same \
values. Bytes are those of whole responses, with their headers. Seconds are medians; the three \
readers take turns, and have read the file before, so connections are open and caches are filled.

"""


def describe(server: str, rounds: int, proxy_times: Sequence[tuple[float, float]]) -> str:
    """Describe the environment and what the proxy itself costs."""
    (call, download), (proxy_call, proxy_download) = proxy_times
    return (
        f"{describe_environment(_PACKAGES)}; {server}; medians of at least {rounds} reads.\n\n"
        f"Without latency the readers call the server directly. A proxy adds the latency. It "
        f"itself adds {(proxy_call - call) * 1e3:.1f} ms to a small call "
        f"({call * 1e3:.1f} ms without), and {(proxy_download - download) * 1e3:.0f} ms to a "
        f"download of {max(_MEGABYTES)} MB ({download * 1e3:.0f} ms without)."
    )


def write_docs(description: str, tables: Iterable[Table]) -> None:
    """Write the page of the documentation."""
    sections = "\n".join(table.markdown() for table in tables)
    _DOCS.write_text(f"{_INTRODUCTION}{description}\n\n{sections}")


def main() -> None:
    """Measure, print, and write the page if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="reads of each kind; %(default)s")
    parser.add_argument("--write-docs", action="store_true", help=f"write docs/{_DOCS.name}")
    options = parser.parse_args()
    if importlib.util.find_spec("aiohttp") is None:
        raise SystemExit("uproot.open(url) needs aiohttp: python3 -m pip install aiohttp")
    traffic: dict[Case, dict[str, Traffic]] = {}
    times: dict[float, dict[Case, Times]] = {0.0: {}, _LATENCY: {}}
    with (
        TemporaryDirectory(prefix="servicex-layer-bench-") as directory,
        file_server(Path(directory)) as (server, port),
        proxy_to(port) as proxy,
    ):
        cases = []
        for megabytes in _MEGABYTES:
            path = Path(directory) / f"{megabytes}.root"
            write_wide_file(path, megabytes, np.random.default_rng(megabytes))
            cases += [
                Case(path, megabytes, tuple(NAMES[:: len(NAMES) // count]))
                for count in _COLUMN_COUNTS
            ]
        proxy_times = list(measure_proxy(cases[-1], [port, proxy.port], options.rounds))
        for case in cases:
            traffic[case] = measure_traffic(case, proxy)
            times[0.0][case] = measure_times(case, port, options.rounds)
            with proxy.delaying(_LATENCY):
                times[_LATENCY][case] = measure_times(case, proxy.port, options.rounds)
        tables = [
            table_of_traffic(traffic),
            *(table_of_times(latency, by_case) for latency, by_case in times.items()),
            table_of_targets(traffic, times),
        ]
    description = describe(server, options.rounds, proxy_times)
    click.echo(description)
    for table in tables:
        print_table(table.title, table.head, table.rows)
    if options.write_docs:
        write_docs(description, tables)


if __name__ == "__main__":
    main()
