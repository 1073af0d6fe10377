"""Calls that the backend sees of one transform, beside those of `servicex.deliver`."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dask
from _common import (  # type: ignore[import-not-found]
    FORM,
    ServiceProcess,
    check_events,
    cluster_of,
    service_process,
    tiny_files,
)
from _figures import figure, report  # type: ignore[import-not-found]

import servicex_layer as sxl

# That of the official client, which has no setting for it.
_INTERVAL = 5.0
_SECONDS = 30.0
_TRANSFORMERS = 2


def by_us(service: ServiceProcess, paths: list[Path], workers: int) -> float:
    """Count from the submission to the result."""
    with cluster_of(workers):
        service.take_traffic()
        found = sxl.from_servicex(service.submit(paths), form=FORM).event.compute()
        calls, _ = service.take_traffic()
    check_events(found, len(paths))
    return float(sum(calls.values()))


def by_client(service: ServiceProcess, paths: list[Path]) -> float:
    """Count from the submission to the URLs."""
    import servicex
    from servicex import query

    sample: dict[str, Any] = {
        "Name": "sample",
        "Dataset": servicex.dataset.FileList([str(path) for path in paths]),
        "Query": query.UprootRaw([{"treename": "events"}]),
    }
    general = {"OutputFormat": "root-ttree", "Delivery": "URLs"}
    service.take_traffic()
    with contextlib.redirect_stdout(io.StringIO()):
        delivered = servicex.deliver(
            {"General": general, "Sample": [sample]},
            config_path=dask.config.get("servicex-layer.config-path"),
            ignore_local_cache=True,
        )
    calls, _ = service.take_traffic()
    if len(delivered["sample"]) != len(paths):
        raise SystemExit(f"WRONG RESULT: {len(delivered['sample'])} URLs of {len(paths)}")
    return float(sum(calls.values()))


def main() -> None:
    """Count once for each number of files and of workers: a count has no spread."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--many-files", type=int, default=2000, help="%(default)s")
    options, _ = parser.parse_known_args()
    numbers = (100, options.many_files)
    ours: dict[tuple[int, int], float] = {}
    theirs: dict[int, float] = {}
    with (
        dask.config.set({"servicex-layer.poll-interval": _INTERVAL}),
        TemporaryDirectory(prefix="servicex-layer-bench-") as cache,
        contextlib.chdir(cache),
    ):
        os.environ["TMPDIR"] = cache
        for files in numbers:
            with (
                tiny_files(files) as paths,
                service_process(
                    store="s3", parallelism=_TRANSFORMERS, delay=_SECONDS * _TRANSFORMERS / files
                ) as service,
            ):
                theirs[files] = by_client(service, paths)
                for workers in (1, 8):
                    ours[files, workers] = by_us(service, paths, workers)
    report(
        f"Calls to the backend in a transform of {_SECONDS:.0f} s, polled every {_INTERVAL:g} s",
        [
            figure(
                f"calls to the backend: {files} files, {workers} worker{'s' * (workers > 1)}",
                "servicex.deliver (one process)",
                [count],
                [theirs[files]],
                1.0,
                "calls",
            )
            for (files, workers), count in ours.items()
        ],
    )


if __name__ == "__main__":
    main()
