"""From a row becoming visible to its task's result, on a cluster of two worker processes."""

from __future__ import annotations

import random
import statistics
import time

import dask
import numpy as np
from _common import (  # type: ignore[import-not-found]
    FORM,
    check_events,
    cluster_of,
    number_of_files,
    service_process,
    show,
    tiny_files,
    verdict,
)

import servicex_layer as sxl

_INTERVALS = 0.1, 0.3, 1.0


def latencies(interval: float, files: int) -> list[float]:
    """Measure it for each file, in seconds, finishing them one by one at any time."""
    chance = random.Random(1)
    measured = []
    found = []
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
            # Else the next file would always be finished just after a look.
            time.sleep(chance.uniform(0.0, 2 * interval))
            visible = service.release(request_id, index)
            found.append(future.result())
            measured.append(time.time() - visible)
    check_events(np.concatenate(found), files)
    return measured


def main() -> None:
    """Measure it for several poll intervals."""
    files = number_of_files(__doc__, 30)
    rows = []
    for interval in _INTERVALS:
        measured = latencies(interval, files)
        median = statistics.median(measured)
        rows.append(
            (
                f"{interval:g} s",
                f"{1e3 * min(measured):.0f}",
                f"{1e3 * median:.0f}",
                f"{1e3 * max(measured):.0f}",
                f"{1e3 * interval + 100:.0f}",
                verdict(median, interval + 0.1),
            )
        )
    show(
        f"From visible to result, {files} files, in ms",
        ("poll interval", "least", "median", "most", "bound of the median", "kept"),
        rows,
    )


if __name__ == "__main__":
    main()
