"""ROOT files of 100 columns, for benchmarks that read few of many."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import uproot
from awkward.forms import NumpyForm, RecordForm

NAMES = [f"x{index:02}" for index in range(100)]
FORM = RecordForm([NumpyForm("float64")] * len(NAMES), NAMES)
BASKETS = 8
"""Baskets of each column."""


def write_wide_file(path: Path, megabytes: int, generator: np.random.Generator) -> None:
    """Write a tree `events` of about this size.

    It isn't compressed: decompression costs all readers the same and hides their differences.
    """
    events = megabytes * 1_000_000 // (8 * len(NAMES) * BASKETS)
    with uproot.recreate(path, compression=None) as file:
        tree = file.mktree("events", dict.fromkeys(NAMES, "float64"))
        for _ in range(BASKETS):
            tree.extend({name: generator.normal(size=events) for name in NAMES})
