"""Calls that the backend sees of one transform, beside those of `servicex.deliver`."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
from collections.abc import Sequence
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
from _figures import Figure, figure, report  # type: ignore[import-not-found]

import servicex_layer as sxl

# That of the official client, which has no setting for it.
_INTERVAL = 5.0
_SECONDS = 60.0
# At our own pace, which begins with a look a second.
_LONG = 300.0
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


def counts(files: int, seconds: float, pace: str, workers: Sequence[int]) -> list[Figure]:
    """Count once for each number of workers: a count has no spread."""
    with (
        tiny_files(files) as paths,
        service_process(
            store="s3", parallelism=_TRANSFORMERS, delay=seconds * _TRANSFORMERS / files
        ) as service,
    ):
        theirs = by_client(service, paths)
        return [
            figure(
                f"calls to the backend: {files} files in {seconds:.0f} s, {number} "
                f"worker{'s' * (number > 1)}, polled {pace}",
                "servicex.deliver (one process)",
                [by_us(service, paths, number)],
                [theirs],
                1.0,
                "calls",
            )
            for number in workers
        ]


def main() -> None:
    """Count at the client's pace, and at that of the settings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--many-files", type=int, default=2000, help="%(default)s")
    options, _ = parser.parse_known_args()
    figures: list[Figure] = []
    with (
        TemporaryDirectory(prefix="servicex-layer-bench-") as cache,
        contextlib.chdir(cache),
    ):
        os.environ["TMPDIR"] = cache
        for files in (100, options.many_files):
            with dask.config.set({"servicex-layer.poll-interval": _INTERVAL}):
                figures += counts(files, _SECONDS, f"every {_INTERVAL:g} s", (1, 8))
        for seconds in (_SECONDS, _LONG):
            figures += counts(100, seconds, "by default", (1,))
    report("Calls to the backend in a transform", figures)


if __name__ == "__main__":
    main()
