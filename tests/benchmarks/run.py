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
    _DOCS.write_text(f"{_INTRODUCTION}\n{setting()}\n\n{table}\n")


if __name__ == "__main__":
    main()
