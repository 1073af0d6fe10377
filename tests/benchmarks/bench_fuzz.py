"""Random changes to a server's answers: the right result, or an error that names the fault."""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path

from _command_line import parse_numbers  # type: ignore[import-not-found]
from _table import print_table  # type: ignore[import-not-found]

sys.path.append(str(Path(__file__).parents[1]))

from fuzzing import run  # type: ignore[import-not-found]


def main() -> None:
    """Count the outcomes; any other one ends the benchmark with its traceback."""
    computations = parse_numbers(__doc__, files=10_000).files
    # Many of these backends don't answer, and each is worth a warning.
    logging.getLogger("servicex_layer").setLevel(logging.ERROR)
    start = time.perf_counter()
    outcomes, longest = run(computations)
    seconds = time.perf_counter() - start
    print_table(
        f"{sum(outcomes.values())} computations in {seconds:.0f} s, the longest {longest:.2f} s",
        ("outcome", "computations"),
        outcomes.most_common(),
    )


if __name__ == "__main__":
    main()
