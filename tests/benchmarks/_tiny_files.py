"""ROOT files of two events each, for benchmarks in which reading should cost little."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import uproot
from _spawn import SPAWN  # type: ignore[import-not-found]

FORM = "{event: int64, x: var * float64}"
EVENTS_PER_FILE = 2

_FILES_PER_TASK = 500


@contextmanager
def tiny_files(count: int) -> Iterator[list[Path]]:
    """Write files with a tree `events`, in which all events are numbered from 0 on."""
    with TemporaryDirectory(prefix="servicex-layer-bench-") as directory:
        paths = [Path(directory) / f"{index:06}.root" for index in range(count)]
        starts = range(0, count, _FILES_PER_TASK)
        with ProcessPoolExecutor(2, mp_context=SPAWN) as pool:
            chunks = [paths[start : start + _FILES_PER_TASK] for start in starts]
            list(pool.map(_write, chunks, starts))
        yield paths


def _write(paths: Sequence[Path], start: int) -> None:
    for index, path in enumerate(paths, start):
        with uproot.recreate(path) as file:
            numbers = np.arange(EVENTS_PER_FILE) + EVENTS_PER_FILE * index
            x = np.linspace(0.0, 2.0, 3 * EVENTS_PER_FILE).reshape(EVENTS_PER_FILE, 3)
            file.mktree("events", {"event": numbers, "x": x})


def check_events(events: Any, files: int) -> None:
    """End the benchmark if not every event of the files was read exactly once."""
    expected = np.arange(EVENTS_PER_FILE * files)
    if not np.array_equal(np.sort(np.asarray(events)), expected):
        raise SystemExit(
            f"WRONG RESULT: {len(events)} events, {len(np.unique(events))} of them different, "
            f"instead of {len(expected)}"
        )
