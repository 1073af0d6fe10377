"""Answers of a server changed at random: the right result or an error that says what is wrong."""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path

from _common import number_of_files, show  # type: ignore[import-not-found]

sys.path.append(str(Path(__file__).parents[1]))

from fuzzing import run  # type: ignore[import-not-found]


def main() -> None:
    """Compute with many answers; anything but these two comes out as a traceback."""
    examples = number_of_files(__doc__, 10_000)
    # Backends that do not answer are many here.
    logging.getLogger("servicex_layer").setLevel(logging.ERROR)
    start = time.perf_counter()
    outcomes, longest = run(examples)
    seconds = time.perf_counter() - start
    show(
        f"{sum(outcomes.values())} computations in {seconds:.0f} s, the longest {longest:.2f} s",
        ("outcome", "computations"),
        outcomes.most_common(),
    )


if __name__ == "__main__":
    main()
