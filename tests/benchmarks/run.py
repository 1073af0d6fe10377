"""Run the benchmarks that compare with peers, print one table, and write it to the docs."""

from __future__ import annotations

import sys

from _environment import describe_environment  # type: ignore[import-not-found]
from _figures import HEAD, Figure  # type: ignore[import-not-found]
from _scripts import THIS_CHECKOUT, run_script  # type: ignore[import-not-found]
from _table import markdown_table, print_table  # type: ignore[import-not-found]

_DOCS = THIS_CHECKOUT / "docs" / "benchmarks.md"
_SCRIPTS = (
    "running",
    "map_files",
    "finished",
    "files_per_partition",
    "remote",
    "wide",
    "graph",
    "calls",
    "import",
)
_PACKAGES = ("servicex_layer", "uproot", "awkward", "dask", "dask-awkward", "servicex")

_INTRODUCTION = """\
# Benchmarks

`nox -s bench` measures these figures and writes this page. Each line compares `servicex_layer` \
with a peer, measured in turns in the same run. The ratio is the median of five rounds, the range \
is from the smallest to the largest; calls are counted once. Each script compares its results with \
the peer's, or with the content of the files, and fails if they differ. [The reading \
benchmark](reading-benchmark.md) measures how much of a file is read, and how fast. \
[Scaling](scaling.md) extrapolates to larger runs.
"""

_NOTES = """\
## The targets that are hardest to meet

**Large remote files.** Uproot's reading of the metadata of 100 branches, 5 of them used, takes \
56 % of a worker's computing time (py-spy, samples that hold the GIL): 19 ms per file on an idle \
core, the same for `uproot.dask`. `servicex_layer` saves two of the four round trips of 20 ms. On \
the synchronous scheduler the ratio is 0.62 to 0.69. On two cores that workers, scheduler, client \
and ServiceX share, the processor is the limit: a worker needs 62 ms per file, the peer's 76 ms. \
Looking up classes once per file helped and stayed (15 instead of 19 ms). Pausing the garbage \
collector helped the peer as much, and requesting the whole file at once is slower without \
latency; neither stayed. Two things would help: a call of Uproot that reads the metadata of single \
branches, or fetching a worker's next file while it computes the current one, which Dask doesn't \
announce.

**Calls by default.** The official client polls every 5 s. `servicex_layer` polls every second for \
50 s, so that no analysis waits for a file that has finished, and then backs off: the pause is 2 % \
of the time since the first poll, at most 10 s. At the client's interval it makes fewer calls than \
the client. By default it makes more during a transform of a few minutes, and fewer during one of \
more than about ten (calculated: 213 calls in 600 s; the client makes 200 to 240). If computing \
takes as long as the transform, longer pauses delay the result by as much. Fewer calls at the same \
interval need a server that can hold a request open until something changes.
"""


def main() -> None:
    """Run each script in a process of its own, then print and write all figures."""
    lines = [line for name in _SCRIPTS for line in run_script(THIS_CHECKOUT, name, sys.argv[1:])]
    rows = [Figure(**line).cells() for line in lines]
    print_table("All", HEAD, rows)
    table = markdown_table(HEAD, rows, text_columns=2)
    _DOCS.write_text(f"{_INTRODUCTION}\n{describe_environment(_PACKAGES)}.\n\n{table}\n\n{_NOTES}")


if __name__ == "__main__":
    main()
