"""The time that `import servicex_layer` takes, beside `import dask_awkward`."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

from _figures import figure, report  # type: ignore[import-not-found]


def seconds(module: str) -> float:
    """Import a module in a process of its own; without what the interpreter itself takes."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True)  # noqa: S603
    return time.perf_counter() - start


def main() -> None:
    """Measure by turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="%(default)s")
    options, _ = parser.parse_known_args()
    modules = ("servicex_layer", "dask_awkward", "sys")
    for module in modules:
        seconds(module)
    taken = [[seconds(module) for module in modules] for _ in range(options.rounds)]
    ours, theirs = zip(*((one - bare, other - bare) for one, other, bare in taken), strict=True)
    report("Import", [figure("import servicex_layer", "import dask_awkward", ours, theirs, 1.1)])


if __name__ == "__main__":
    main()
