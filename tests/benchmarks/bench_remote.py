"""A finished request of large remote files, few columns of many, beside `uproot.dask`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import awkward as ak
import dask
import numpy as np
import uproot
from _common import cluster_of, service_process, urls_of  # type: ignore[import-not-found]
from _figures import figure, report  # type: ignore[import-not-found]
from awkward.forms import NumpyForm, RecordForm
from dask_awkward.lib.core import Array

import servicex_layer as sxl
from servicex_layer.local import Faults, HttpFault

_NAMES = [f"x{index:02}" for index in range(100)]
_USED = _NAMES[::20]
_FORM = RecordForm([NumpyForm("float64")] * len(_NAMES), _NAMES)
_LATENCY = 0.020


def write(directory: Path, count: int, megabytes: int) -> list[Path]:
    """Write files of 100 columns, in 8 baskets each."""
    chance = np.random.default_rng(1)
    events = megabytes * 1_000_000 // (8 * len(_NAMES) * 8)
    paths = [directory / f"{index:03}.root" for index in range(count)]
    for path in paths:
        with uproot.recreate(path, compression=None) as file:
            tree = file.mktree("events", dict.fromkeys(_NAMES, "float64"))
            for _ in range(8):
                tree.extend({name: chance.normal(size=events) for name in _NAMES})
    return paths


def analysis(events: Array) -> list[Any]:
    """Use five columns."""
    return [ak.sum(events[name]) for name in _USED]


def by_us(request_id: str) -> Array:
    """Make an array of a request that is over."""
    return sxl.from_servicex(request_id, form=_FORM)


def by_uproot(urls: list[str]) -> Array:
    """Make an array of the URLs, none of which is opened."""
    files = dict.fromkeys(urls, "events")
    events: Array = uproot.dask(files, open_files=False, known_base_form=_FORM)
    return events


def main() -> None:
    """Measure by turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="%(default)s")
    parser.add_argument("--large-files", type=int, default=40, help="%(default)s")
    parser.add_argument("--megabytes", type=int, default=20, help="of each; %(default)s")
    options, _ = parser.parse_known_args()
    count, megabytes = options.large_files, options.megabytes
    slow = Faults(http=[HttpFault(route="file", delay=_LATENCY)])
    times: dict[str, list[float]] = {"ours": [], "theirs": []}
    with (
        TemporaryDirectory(prefix="servicex-layer-bench-") as directory,
        service_process(faults=slow) as service,
        cluster_of(2),
    ):
        request_id = service.submit(write(Path(directory), count, megabytes))
        urls = urls_of(request_id)
        ways: dict[str, Callable[[], Array]] = {
            "ours": lambda: by_us(request_id),
            "theirs": lambda: by_uproot(urls),
        }
        found = []
        for _ in range(options.rounds + 1):
            for name, make in ways.items():
                start = time.perf_counter()
                found.append(dask.compute(*analysis(make())))  # type: ignore[attr-defined]
                times[name].append(time.perf_counter() - start)
    if not all(np.allclose(found[0], other, rtol=1e-12) for other in found):
        raise SystemExit(f"WRONG RESULT: {found}")
    report(
        "A finished request of large remote files",
        [
            figure(
                f"finished request: {count} remote files of {megabytes} MB, {len(_USED)} of "
                f"{len(_NAMES)} columns, {1e3 * _LATENCY:.0f} ms latency",
                "uproot.dask over the same URLs, known form",
                # The first round imports, and connects.
                times["ours"][1:],
                times["theirs"][1:],
                0.6,
            )
        ],
    )


if __name__ == "__main__":
    main()
