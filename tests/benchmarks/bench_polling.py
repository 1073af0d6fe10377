"""What the backend sees of one running transform: calls and rows, with 1 worker and with 4."""

from __future__ import annotations

import time

import dask
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

_SECONDS = 20.0
_INTERVAL = 1.0
_TRANSFORMERS = 2


def main() -> None:
    """Count from the submission to the result."""
    files = number_of_files(__doc__, 500)
    bound = _SECONDS / _INTERVAL + 10
    rows = []
    with (
        dask.config.set({"servicex-layer.poll-interval": _INTERVAL}),
        tiny_files(files) as paths,
        service_process(
            parallelism=_TRANSFORMERS, delay=_SECONDS * _TRANSFORMERS / files
        ) as service,
    ):
        for workers in (1, 4):
            with cluster_of(workers):
                service.take_traffic()
                start = time.perf_counter()
                request_id = service.submit(paths)
                found = sxl.from_servicex(request_id, form=FORM).event.compute()
                seconds = time.perf_counter() - start
            calls, sent = service.take_traffic()
            check_events(found, files)
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
                    f"{sent / files:.2f}",
                )
            )
    show(
        f"{files} partitions, a transform of {_SECONDS:.0f} s, polled every {_INTERVAL:g} s: "
        "calls that the backend sees",
        (
            "workers",
            "seconds to result",
            "results",
            "status",
            "bound of each",
            "kept",
            "file-urls",
            "info",
            "rows sent per file",
        ),
        rows,
    )


if __name__ == "__main__":
    main()
