"""The calls that the backend receives during one transform, beside those of `servicex.deliver`."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dask
from _cluster import cluster_of  # type: ignore[import-not-found]
from _command_line import parse_numbers  # type: ignore[import-not-found]
from _figures import Figure, report  # type: ignore[import-not-found]
from _service import ServiceProcess, service_process  # type: ignore[import-not-found]
from _tiny_files import FORM, check_events, tiny_files  # type: ignore[import-not-found]

import servicex_layer as sxl

# The official client polls at this interval and has no setting for it.
_CLIENT_INTERVAL = 5.0
_SECONDS = 60.0
_LONG_SECONDS = 300.0
_TRANSFORMERS = 2


def count_ours(service: ServiceProcess, paths: list[Path], workers: int) -> float:
    """Count the calls from the submission to the result."""
    with cluster_of(workers):
        service.take_traffic()
        events = sxl.from_servicex(service.submit(paths), form=FORM).event.compute()
        calls, _ = service.take_traffic()
    check_events(events, len(paths))
    return float(sum(calls.values()))


def count_deliver(service: ServiceProcess, paths: list[Path]) -> float:
    """Count the calls of `servicex.deliver` from the submission to the URLs."""
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
        raise SystemExit(
            f"WRONG RESULT: {len(delivered['sample'])} URLs instead of {len(paths)} from deliver"
        )
    return float(sum(calls.values()))


def compare(files: int, seconds: float, polling: str, cluster_sizes: Sequence[int]) -> list[Figure]:
    """Count once per number of workers: counts hardly vary."""
    delay = seconds * _TRANSFORMERS / files
    with (
        tiny_files(files) as paths,
        service_process(store="s3", parallelism=_TRANSFORMERS, delay=delay) as service,
    ):
        theirs = count_deliver(service, paths)
        return [
            Figure(
                f"calls to the backend: {files} files in {seconds:.0f} s, {workers} "
                f"worker{'s' * (workers > 1)}, polled {polling}",
                "servicex.deliver (one process)",
                [count_ours(service, paths, workers)],
                [theirs],
                bound=1.0,
                unit="calls",
            )
            for workers in cluster_sizes
        ]


def main() -> None:
    """Count at the client's poll interval, then at the default one."""
    many_files = parse_numbers(__doc__, many_files=2000).many_files
    figures: list[Figure] = []
    # The client writes its cache to the temporary and the working directory.
    with TemporaryDirectory(prefix="servicex-layer-bench-") as cache, contextlib.chdir(cache):
        os.environ["TMPDIR"] = cache
        for files in (100, many_files):
            with dask.config.set({"servicex-layer.poll-interval": _CLIENT_INTERVAL}):
                figures += compare(files, _SECONDS, f"every {_CLIENT_INTERVAL:g} s", (1, 8))
        for seconds in (_SECONDS, _LONG_SECONDS):
            figures += compare(100, seconds, "by default", (1,))
    report("Calls to the backend during a transform", figures)


if __name__ == "__main__":
    main()
