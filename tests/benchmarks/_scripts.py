"""Running a benchmark script of a checkout for its figures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from _figures import PATH_VARIABLE  # type: ignore[import-not-found]

THIS_CHECKOUT = Path(__file__).parents[2]


def run_script(
    checkout: Path, name: str, arguments: Sequence[str], *, quiet: bool = False
) -> list[dict[str, Any]]:
    """Run `bench_<name>.py` of a checkout, with its own package, and return its figures.

    Raises
    ------
    subprocess.CalledProcessError
        If the script fails.
    """
    with TemporaryDirectory(prefix="servicex-layer-bench-") as directory:
        path = Path(directory) / "figures.json"
        script = checkout / "tests" / "benchmarks" / f"bench_{name}.py"
        subprocess.run(  # noqa: S603
            [sys.executable, str(script), *arguments],
            check=True,
            # `python -c`, by which bench_import.py imports, prefers the working directory.
            cwd=checkout,
            env={**os.environ, "PYTHONPATH": str(checkout), PATH_VARIABLE: str(path)},
            stdout=subprocess.DEVNULL if quiet else None,
        )
        figures: list[dict[str, Any]] = json.loads(path.read_text())
        return figures
