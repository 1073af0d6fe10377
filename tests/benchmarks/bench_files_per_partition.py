"""Several files per partition: small results of a finished request, beside `uproot.dask`."""

from __future__ import annotations

from functools import partial
from typing import Any

from _arrays import uproot_array  # type: ignore[import-not-found]
from _cluster import cluster_of  # type: ignore[import-not-found]
from _command_line import parse_numbers  # type: ignore[import-not-found]
from _completed import wait_for_urls  # type: ignore[import-not-found]
from _figures import Figure, report  # type: ignore[import-not-found]
from _service import service_process  # type: ignore[import-not-found]
from _tiny_files import FORM, check_events, tiny_files  # type: ignore[import-not-found]
from _turns import time_in_turns  # type: ignore[import-not-found]

import servicex_layer as sxl
from servicex_layer.local import Faults, HttpFault

_SIZES = (1, 10, 20)
# By the latency of a call in seconds, a bound for each size.
_BOUNDS = {0.0: (0.55, 0.55, 0.55), 0.020: (0.15, 0.15, 0.08)}
_PEER = "uproot.dask, known form"


def read_ours(request_id: str, size: int) -> Any:
    """Make an array with a number of files per partition, and read a column."""
    return sxl.from_servicex(request_id, form=FORM, files_per_partition=size).event.compute()


def read_theirs(urls: list[str]) -> Any:
    """Read the column with `uproot.dask`."""
    return uproot_array(urls, FORM).event.compute()


def measure(latency: float, files: int, rounds: int) -> dict[str, list[float]]:
    """Measure in turns; return the seconds of each round, by name."""
    slow = Faults(http=[HttpFault(route="file", delay=latency)] if latency else [])
    with service_process(faults=slow) as service, tiny_files(files) as paths, cluster_of(2):
        request_id = service.submit(paths)
        urls = wait_for_urls(request_id)
        ours = {f"{size} per partition": partial(read_ours, request_id, size) for size in _SIZES}
        times, results = time_in_turns({**ours, _PEER: partial(read_theirs, urls)}, rounds)
    for events in results:
        check_events(events, files)
    return times  # type: ignore[no-any-return]


def main() -> None:
    """Measure without latency and with it."""
    numbers = parse_numbers(__doc__, rounds=5, files=300)
    figures = []
    for latency, bounds in _BOUNDS.items():
        times = measure(latency, numbers.files, numbers.rounds)
        theirs = times.pop(_PEER)
        figures += [
            Figure(
                f"{numbers.files} small results, {1e3 * latency:.0f} ms per call, {name}",
                _PEER,
                ours,
                theirs,
                bound,
            )
            for (name, ours), bound in zip(times.items(), bounds, strict=True)
        ]
    report("Several files per partition", figures)


if __name__ == "__main__":
    main()
