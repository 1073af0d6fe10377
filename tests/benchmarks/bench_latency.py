"""The time from a row becoming visible to the result of its task, on two worker processes."""

from __future__ import annotations

import random
import statistics
import time

import dask
import numpy as np
from _cluster import cluster_of  # type: ignore[import-not-found]
from _command_line import parse_numbers  # type: ignore[import-not-found]
from _service import service_process  # type: ignore[import-not-found]
from _table import print_table, verdict  # type: ignore[import-not-found]
from _tiny_files import FORM, check_events, tiny_files  # type: ignore[import-not-found]

import servicex_layer as sxl

_INTERVALS = 0.1, 0.3, 1.0


def measure(interval: float, files: int) -> list[float]:
    """Let files finish one by one, and return the latency of each in seconds."""
    generator = random.Random(1)
    latencies = []
    results = []
    with (
        dask.config.set({"servicex-layer.poll-interval": interval}),
        tiny_files(files) as paths,
        service_process() as service,
        cluster_of(2) as client,
    ):
        request_id = service.submit(paths, manual=True)
        service.wait_until_transformed(request_id, files)
        events = sxl.from_servicex(request_id, form=FORM)
        futures = client.compute(events.event.to_delayed())
        for index, future in enumerate(futures):
            # Without a random pause every file would finish just after a poll.
            time.sleep(generator.uniform(0.0, 2 * interval))
            visible = service.release(request_id, index)
            results.append(future.result())
            latencies.append(time.time() - visible)
    check_events(np.concatenate(results), files)
    return latencies


def main() -> None:
    """Measure at several poll intervals."""
    files = parse_numbers(__doc__, files=30).files
    rows = []
    for interval in _INTERVALS:
        latencies = measure(interval, files)
        median = statistics.median(latencies)
        bound = interval + 0.1
        rows.append(
            (
                f"{interval:g} s",
                *(f"{1e3 * seconds:.0f}" for seconds in (min(latencies), median, max(latencies))),
                f"{1e3 * bound:.0f}",
                verdict(median, bound),
            )
        )
    print_table(
        f"From visible to result, {files} files, in ms",
        ("poll interval", "least", "median", "most", "bound of the median", "met"),
        rows,
    )


if __name__ == "__main__":
    main()
