"""Compute one array several times, in parts and beside itself, with each kind of input.

Prints a table of what `uproot.dask`, `dask_awkward.from_parquet` and this package do, and fails if
this package doesn't compute the right numbers. Each case runs in a process of its own, as some end
in a computation that never does.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import awkward as ak
import dask
import dask_awkward
import numpy as np
import uproot
from _table import print_table  # type: ignore[import-not-found]
from dask.base import compute, persist
from dask.delayed import delayed
from dask.graph_manipulation import bind, checkpoint, clone, wait_on
from distributed import Client, LocalCluster

from servicex_layer import from_servicex
from servicex_layer.local import LocalServiceX

dak: Any = dask_awkward
_TIMEOUT = 60.0  # seconds for one case
_FILES, _EVENTS = 4, 100
_FORM = "{x: float64, n: int32, v: var * float64}"

Case = Callable[[Any, Any, Client], list[tuple[Any, Any]]]


def content(number: int) -> dict[str, Any]:
    """Return the columns of a file."""
    counts = np.arange(_EVENTS) % 3
    values = ak.unflatten(number + np.arange(float(counts.sum())), counts)
    return {
        "x": 1000 * number + np.arange(float(_EVENTS)),
        "n": np.arange(_EVENTS, dtype=np.int32),
        "v": values,
    }


EAGER = ak.concatenate([ak.Array(content(number)) for number in range(_FILES)])
EAGER_OTHER = ak.concatenate([ak.Array(content(_FILES + number)) for number in range(_FILES)])


def slow(events: Any) -> Any:
    """Take a while, so that computations overlap."""
    if ak.backend(events) != "typetracer":
        time.sleep(0.3)
    return events


def slowly(events: Any) -> Any:
    """Return the same array, computed slowly."""
    return dak.map_partitions(slow, events)


# The cases: each returns pairs of what was computed and what is right.


def overlapping(events: Any, _: Any, client: Client) -> list[tuple[Any, Any]]:
    """Compute other columns while some are computed."""
    first = client.compute([ak.sum(slowly(events.x)), ak.sum(slowly(events.n))])
    second = client.compute([ak.sum(events.v), ak.sum(ak.num(events.v))])
    expected = [ak.sum(EAGER.x), ak.sum(EAGER.n), ak.sum(EAGER.v), ak.sum(ak.num(EAGER.v))]
    return list(zip(client.gather([*first, *second]), expected, strict=True))


def futures_kept(events: Any, _: Any, client: Client) -> list[tuple[Any, Any]]:
    """Compute other columns after some, whose futures are kept."""
    kept = client.compute([ak.sum(events.x), ak.sum(events.n)])
    client.gather(kept)
    total = client.compute(ak.sum(events.v)).result()
    return [(total, ak.sum(EAGER.v)), (kept[0].result(), ak.sum(EAGER.x))]


def cancelled(events: Any, _: Any, client: Client) -> list[tuple[Any, Any]]:
    """Compute other columns after a cancelled computation."""
    client.cancel(client.compute([ak.sum(slowly(events.x)), ak.sum(slowly(events.n))]))
    return [(client.compute(ak.sum(events.v)).result(), ak.sum(EAGER.v))]


def persisted(events: Any, _: Any, client: Client) -> list[tuple[Any, Any]]:
    """Compute other columns after some were persisted."""
    x, n = persist(events.x, events.n)
    client.gather(client.compute([x, n]))
    return [(value, ak.sum(EAGER.v)) for value in compute(ak.sum(events.v))]


def combined(events: Any, _: Any, client: Client) -> list[tuple[Any, Any]]:
    """Combine a persisted column with the array."""
    (x,) = persist(events.x)
    return [(ak.sum(abs(events.x - x)).compute(), 0)]


def whole(events: Any, _: Any, client: Client) -> list[tuple[Any, Any]]:
    """Compute the whole array while columns are computed."""
    totals = client.compute([ak.sum(slowly(events.x)), ak.sum(slowly(events.n))])
    array = client.compute(events)
    return [(ak.sum(array.result().v), ak.sum(EAGER.v)), (totals[0].result(), ak.sum(EAGER.x))]


def lists(events: Any, _: Any, client: Client) -> list[tuple[Any, Any]]:
    """Compute lists while their lengths are computed."""
    lengths = client.compute([ak.sum(slowly(ak.num(events.v))), ak.sum(slowly(events.n))])
    values = client.compute(events.v)
    return [
        (ak.sum(values.result()), ak.sum(EAGER.v)),
        (lengths[0].result(), ak.sum(ak.num(EAGER.v))),
    ]


def beside_delayed(events: Any, _: Any, client: Client) -> list[tuple[Any, Any]]:
    """Compute a delayed function of the array beside sums, with ``sync``."""
    collections = [delayed(_sum_n)(events), ak.sum(events.x), ak.sum(events.n)]
    expected = [ak.sum(EAGER.n), ak.sum(EAGER.x), ak.sum(EAGER.n)]
    return list(zip(compute(*collections, scheduler="sync"), expected, strict=True))


def _sum_n(events: Any) -> int:
    return int(ak.sum(events.n))


def beside_arrays(events: Any, _: Any, client: Client) -> list[tuple[Any, Any]]:
    """Compute sums beside a `dask.array` and a histogram."""
    from hist import axis
    from hist.dask import Hist

    histogram: Any = Hist(axis.Regular(10, 0, 4000, name="x")).fill(events.x)
    counts, total, other = compute(histogram, dak.to_dask_array(events.x).sum(), ak.sum(events.n))
    return [(counts.sum(), len(EAGER)), (total, ak.sum(EAGER.x)), (other, ak.sum(EAGER.n))]


def concatenated(events: Any, other: Any, client: Client) -> list[tuple[Any, Any]]:
    """Concatenate two inputs of one form, and compute a column."""
    total = ak.sum(dak.concatenate([events, other]).x).compute()
    return [(total, ak.sum(EAGER.x) + ak.sum(EAGER_OTHER.x))]


def cloned(events: Any, _: Any, client: Client) -> list[tuple[Any, Any]]:
    """Compute a cloned array beside the original; then anything."""
    total, copy = client.gather(client.compute([ak.sum(events.x), ak.sum(clone(events).n)]))
    return [
        (total, ak.sum(EAGER.x)),
        (copy, ak.sum(EAGER.n)),
        (client.submit(sum, [1, 2]).result(), 3),
    ]


def cloned_sum(events: Any, _: Any, client: Client) -> list[tuple[Any, Any]]:
    """Compute a cloned sum beside the original."""
    total = ak.sum(events.x)
    return [(value, ak.sum(EAGER.x)) for value in compute(clone(total), total)]


def bound(events: Any, _: Any, client: Client) -> list[tuple[Any, Any]]:
    """Use `bind`, `wait_on` and `checkpoint` beside the original."""
    total = ak.sum(events.x)
    after, waited = bind(events, ak.sum(events.n)), wait_on(events)
    values = compute(ak.sum(after.x), ak.sum(waited.v), checkpoint(events), total)
    expected = [ak.sum(EAGER.x), ak.sum(EAGER.v), None, ak.sum(EAGER.x)]
    return list(zip(values, expected, strict=True))


CASES: dict[str, Case] = {
    case.__name__: case
    for case in (
        overlapping,
        futures_kept,
        cancelled,
        persisted,
        combined,
        whole,
        lists,
        beside_delayed,
        beside_arrays,
        concatenated,
        cloned,
        cloned_sum,
        bound,
    )
}


# The inputs: each makes two arrays of one form and different content.


@contextmanager
def root_files(directory: Path) -> Iterator[tuple[Any, Any]]:
    """Make arrays with `uproot.dask`."""
    first, second = (
        uproot.dask([f"{path}:events" for path in paths]) for paths in _write_roots(directory)
    )
    yield first, second


@contextmanager
def parquet_files(directory: Path) -> Iterator[tuple[Any, Any]]:
    """Make arrays with `dask_awkward.from_parquet`."""
    for number in range(2 * _FILES):
        name = f"{number // _FILES}-{number}.parquet"
        ak.to_parquet(ak.Array(content(number)), directory / name)
    yield dak.from_parquet(f"{directory}/0-*.parquet"), dak.from_parquet(f"{directory}/1-*.parquet")


@contextmanager
def servicex(directory: Path) -> Iterator[tuple[Any, Any]]:
    """Make arrays of requests that may still be running."""
    with LocalServiceX() as service:
        path = str(service.servicex_yaml)
        with dask.config.set({"servicex-layer.config-path": path}):
            ids = [service.submit(paths, tree="events") for paths in _write_roots(directory)]
            first, second = (from_servicex(request_id, form=_FORM) for request_id in ids)
            yield first, second


def _write_roots(directory: Path) -> tuple[list[Path], list[Path]]:
    paths = [_write_root(directory / f"{number}.root", number) for number in range(2 * _FILES)]
    return paths[:_FILES], paths[_FILES:]


def _write_root(path: Path, number: int) -> Path:
    with uproot.recreate(path) as file:
        file.mktree("events", content(number))
    return path


INPUTS = {"uproot.dask": root_files, "from_parquet": parquet_files, "servicex_layer": servicex}


def run(source: str, case: str) -> str:
    """Run a case in this process and return what happened."""
    with (
        tempfile.TemporaryDirectory() as directory,
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
        INPUTS[source](Path(directory)) as (events, other),
    ):
        try:
            pairs = CASES[case](events, other, client)
        except Exception as error:  # noqa: BLE001  (an error of any kind is a result here)
            return f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"[:90]
    return "right" if all(value == expected for value, expected in pairs) else "wrong numbers"


def run_apart(source: str, case: str) -> str:
    """Run a case in a process of its own and return what happened."""
    command = [sys.executable, __file__, source, case]
    try:
        process = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, timeout=_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        return "never ends"
    lines = process.stdout.strip().splitlines()
    return lines[-1] if lines else f"exit code {process.returncode}"


def main() -> None:
    """Run all cases with all inputs, or one of each if they are named."""
    if len(sys.argv) == 3:
        sys.stdout.write(f"{run(sys.argv[1], sys.argv[2])}\n")
        return
    rows = [
        [str(function.__doc__), *(run_apart(source, case) for source in INPUTS)]
        for case, function in CASES.items()
    ]
    print_table("Computed again", ["case", *INPUTS], rows)
    if any(row[-1] != "right" for row in rows):
        sys.exit("servicex_layer is not right in each case")


if __name__ == "__main__":
    main()
