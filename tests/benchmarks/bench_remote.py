"""A few columns of a finished request's large remote files, beside `uproot.dask`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import awkward as ak
import dask
import numpy as np
from _arrays import uproot_array  # type: ignore[import-not-found]
from _cluster import cluster_of  # type: ignore[import-not-found]
from _command_line import parse_numbers  # type: ignore[import-not-found]
from _completed import wait_for_urls  # type: ignore[import-not-found]
from _figures import Figure, report  # type: ignore[import-not-found]
from _service import service_process  # type: ignore[import-not-found]
from _turns import time_in_turns  # type: ignore[import-not-found]
from _wide_files import FORM, NAMES, write_wide_file  # type: ignore[import-not-found]
from dask_awkward.lib.core import Array

import servicex_layer as sxl
from servicex_layer.local import Faults, HttpFault

_COLUMNS = NAMES[::20]
_LATENCY = 0.020


def analyse(make_events: Callable[[], Array]) -> Any:
    """Make an array and sum five of its columns."""
    events = make_events()
    return dask.compute(*(ak.sum(events[name]) for name in _COLUMNS))  # type: ignore[attr-defined]


def main() -> None:
    """Measure in turns."""
    numbers = parse_numbers(__doc__, rounds=5, large_files=40, megabytes=20)
    files, megabytes = numbers.large_files, numbers.megabytes
    slow = Faults(http=[HttpFault(route="file", delay=_LATENCY)])
    with (
        TemporaryDirectory(prefix="servicex-layer-bench-") as directory,
        service_process(faults=slow) as service,
        cluster_of(2),
    ):
        paths = [Path(directory) / f"{index:03}.root" for index in range(files)]
        generator = np.random.default_rng(1)
        for path in paths:
            write_wide_file(path, megabytes, generator)
        request_id = service.submit(paths)
        urls = wait_for_urls(request_id)
        times, sums = time_in_turns(
            {
                "ours": partial(analyse, partial(sxl.from_servicex, request_id, form=FORM)),
                "theirs": partial(analyse, partial(uproot_array, urls, FORM)),
            },
            numbers.rounds,
        )
    if not all(np.allclose(sums[0], other, rtol=1e-12) for other in sums):
        raise SystemExit(f"WRONG RESULT: {sums}")
    figure = Figure(
        f"finished request: {files} remote files of {megabytes} MB, {len(_COLUMNS)} of "
        f"{len(NAMES)} columns, {1e3 * _LATENCY:.0f} ms latency",
        "uproot.dask over the same URLs, known form",
        times["ours"],
        times["theirs"],
        bound=0.6,
    )
    report("A finished request of large remote files", [figure])


if __name__ == "__main__":
    main()
