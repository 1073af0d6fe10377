"""The calls and rows that the backend sends during one transform, to 1 worker and to 4."""

from __future__ import annotations

import time

import dask
from _cluster import cluster_of  # type: ignore[import-not-found]
from _command_line import parse_numbers  # type: ignore[import-not-found]
from _service import service_process  # type: ignore[import-not-found]
from _table import print_table, verdict  # type: ignore[import-not-found]
from _tiny_files import FORM, check_events, tiny_files  # type: ignore[import-not-found]

import servicex_layer as sxl

_SECONDS = 20.0
_INTERVAL = 1.0
_TRANSFORMERS = 2


def main() -> None:
    """Count from the submission to the result."""
    files = parse_numbers(__doc__, files=500).files
    bound = _SECONDS / _INTERVAL + 10
    delay = _SECONDS * _TRANSFORMERS / files
    rows = []
    with (
        dask.config.set({"servicex-layer.poll-interval": _INTERVAL}),
        tiny_files(files) as paths,
        service_process(parallelism=_TRANSFORMERS, delay=delay) as service,
    ):
        for workers in (1, 4):
            with cluster_of(workers):
                service.take_traffic()
                start = time.perf_counter()
                request_id = service.submit(paths)
                events = sxl.from_servicex(request_id, form=FORM).event.compute()
                seconds = time.perf_counter() - start
            calls, rows_sent = service.take_traffic()
            check_events(events, files)
            rows.append(
                (
                    workers,
                    f"{seconds:.1f}",
                    calls["results"],
                    calls["status"],
                    f"{bound:.0f}",
                    verdict(max(calls["results"], calls["status"]), bound),
                    calls["file-urls"],
                    calls["info"],
                    f"{rows_sent / files:.2f}",
                )
            )
    print_table(
        f"Calls to the backend: {files} partitions, a transform of {_SECONDS:.0f} s, polled "
        f"every {_INTERVAL:g} s",
        (
            "workers",
            "seconds to result",
            "results",
            "status",
            "bound of each",
            "met",
            "file-urls",
            "info",
            "rows sent per file",
        ),
        rows,
    )


if __name__ == "__main__":
    main()
