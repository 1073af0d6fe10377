"""The time that `import servicex_layer` takes, beside `import dask_awkward`."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

from _command_line import parse_numbers  # type: ignore[import-not-found]
from _figures import Figure, report  # type: ignore[import-not-found]
from _turns import time_in_turns  # type: ignore[import-not-found]


def import_in_new_process(module: str) -> None:
    """Start an interpreter that imports a module."""
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True)  # noqa: S603


def main() -> None:
    """Measure in turns, and subtract the time of an interpreter that imports nothing."""
    rounds = parse_numbers(__doc__, rounds=5).rounds
    modules = ("servicex_layer", "dask_awkward", "sys")
    times, _ = time_in_turns(
        {module: partial(import_in_new_process, module) for module in modules}, rounds
    )
    ours, theirs = (
        [seconds - bare for seconds, bare in zip(times[module], times["sys"], strict=True)]
        for module in ("servicex_layer", "dask_awkward")
    )
    figure = Figure("import servicex_layer", "import dask_awkward", ours, theirs, bound=1.1)
    report("Import", [figure])


if __name__ == "__main__":
    main()
