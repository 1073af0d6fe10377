"""The command line of a benchmark script."""

from __future__ import annotations

import argparse
from typing import Any


def parse_numbers(description: str | None, **defaults: float) -> Any:
    """Read one number per keyword: `small_files=1000` becomes `--small-files`."""
    parser = argparse.ArgumentParser(description=description)
    for name, default in defaults.items():
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(
            option, type=type(default), default=default, help="default: %(default)s"
        )
    # run.py passes the same arguments to all scripts.
    numbers, _ = parser.parse_known_args()
    return numbers
