"""Run the benchmarks that compare with peers, print one table and write it into the docs."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil  # type: ignore[import-untyped]
from _common import show  # type: ignore[import-not-found]
from _figures import HEAD, VARIABLE, Figure, load  # type: ignore[import-not-found]

_HERE = Path(__file__).parent
_DOCS = _HERE.parents[1] / "docs" / "benchmarks.md"
_SCRIPTS = ("running", "finished", "remote", "graph", "calls", "import")
_PACKAGES = ("servicex_layer", "uproot", "awkward", "dask", "dask-awkward", "servicex")

_INTRODUCTION = """\
# Benchmarks

`nox -s bench` measured this and wrote this page. Each line is a ratio against a peer that was \
measured in the same run, in turns: the median of five rounds, with the least and the greatest; a \
count of calls is made once. Each script compares its results with the peer's, or with what is in \
the files, and fails where they differ. What is read, and how fast, has [a page of its \
own](reading-benchmark.md), and [scaling](scaling.md) says what follows for larger runs.
"""

_NOTES = """\
## What was tried for the lines that are hardest

**Large remote files.** Of what a worker computes (py-spy, samples that hold the GIL) 56 % is \
Uproot's reading of the metadata of 100 branches, of which 5 are used: 19 ms for each file on an \
idle core, the same for `uproot.dask`. Two of its four round trips of 20 ms are saved. On `sync` \
that gives 0.62 to 0.69; on two cores that workers, scheduler, client and ServiceX share, the \
processor is the bound, of which a worker takes 62 ms for each file, of the peer 76 ms. Kept: \
classes are looked up once for each file (15 instead of 19 ms). Not kept: no garbage collection \
meanwhile, as it does as much for the peer. Not kept: one request for the whole file, as it loses \
where there is no latency. It would take a call of Uproot's that reads the metadata of single \
branches, or to fetch a worker's next file while it computes this one, which Dask does not tell \
before.

**Calls by default.** The client looks every 5 s. `servicex_layer` looks every second for 50 s, so \
that nobody waits for what is there, and then more and more rarely: the pause is 2 % of the time \
since the first look, up to 10 s. At the client's pace it makes fewer calls than the client; by \
default it makes more in a transform of a few minutes, and fewer in one of more than about ten (on \
paper: 213 calls in 600 s, of the client 200 to 240). Where computing takes as long as the \
transform, larger pauses would add as much to the time to the result. Fewer calls at the same pace \
would take a server that can be waited for.
"""


def measure() -> list[Figure]:
    """Run each script in a process of its own."""
    figures = []
    with TemporaryDirectory(prefix="servicex-layer-bench-") as directory:
        for name in _SCRIPTS:
            path = Path(directory) / f"{name}.json"
            command = [sys.executable, str(_HERE / f"bench_{name}.py"), *sys.argv[1:]]
            subprocess.run(command, check=True, env={**os.environ, VARIABLE: str(path)})  # noqa: S603
            figures += load(path)
    return figures


def setting() -> str:
    """Tell what was measured with."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES)
    return (
        f"Measured on {datetime.now(UTC):%Y-%m-%d} on a shared machine of {os.cpu_count()} cores "
        f"and {psutil.virtual_memory().total / 1e9:.0f} GB of memory ({platform.machine()}), "
        f"Python {platform.python_version()}, {versions}."
    )


def main() -> None:
    """Measure, print and write."""
    figures = measure()
    rows = [one.cells() for one in figures]
    show("All", HEAD, rows)
    ruler = ["---", "---", *["---:"] * (len(HEAD) - 2)]
    table = "\n".join("| " + " | ".join(row) + " |" for row in (HEAD, ruler, *rows))
    _DOCS.write_text(f"{_INTRODUCTION}\n{setting()}\n\n{table}\n\n{_NOTES}")


if __name__ == "__main__":
    main()
