"""Derived queries: random masks and analyses, and the bytes and times that they save."""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import awkward as ak
import dask
import numpy as np
import uproot
from _command_line import parse_numbers  # type: ignore[import-not-found]
from _table import print_table  # type: ignore[import-not-found]

sys.path.append(str(Path(__file__).parents[1]))

import random_analyses  # type: ignore[import-not-found]

import servicex_layer as sxl
from servicex_layer.local import LocalServiceX
from servicex_layer.uproot_raw import run_query

_TREE = "Events"
_FORMATS = ("root-file", "root-rntuple", "parquet")


def main() -> None:
    """Print both tables; a wrong result is an error."""
    numbers = parse_numbers(__doc__, masks=10_000, analyses=10_000, events=200_000)
    outcomes = {
        "masks": _try(numbers.masks, random_analyses.mask_source, random_analyses.try_mask),
        "analyses": _try(
            numbers.analyses, random_analyses.analysis_source, random_analyses.try_analysis
        ),
    }
    print_table(
        "Random masks and analyses",
        ("", "tried", "wrong", "translated", "exact"),
        [
            (
                name,
                counts["tried"],
                counts["wrong"],
                f"{counts['translated'] / counts['tried']:.0%}",
                f"{counts['exact'] / counts['tried']:.0%}" if name == "masks" else "",
            )
            for name, counts in outcomes.items()
        ],
    )
    with TemporaryDirectory(prefix="servicex-layer-bench-") as directory:
        path = Path(directory) / "input.root"
        _write_events(path, numbers.events)
        print_table(
            f"An analysis of {numbers.events:,} events of {path.stat().st_size / 1e6:.0f} MB",
            ("query", "format", "result (MB)", "read (MB)", "transform (s)", "in all (s)"),
            list(_measure(path)),
        )
    if any(counts["wrong"] for counts in outcomes.values()):
        raise SystemExit("A derived query changed a result.")


def _try(number: int, source: Callable[..., str], attempt: Callable[..., Any]) -> Counter[str]:
    """Try random sources; those that fail by themselves don't count."""
    counts: Counter[str] = Counter()
    seed = 0
    while counts["tried"] < number:
        rng = random.Random(seed)
        seed += 1
        events = random_analyses.events(rng)
        outcome = attempt(source(rng), events)
        if outcome is None:
            continue
        counts["tried"] += 1
        counts["translated"] += outcome.query.cut is not None
        counts["exact"] += outcome.exact
        if outcome.problem:
            counts["wrong"] += 1
            sys.stderr.write(f"{outcome.source}\n{outcome.query}\n{outcome.problem}\n")
    return counts


def _analysis(events: Any) -> Any:
    muons = events.Muon_pt[(events.Muon_pt > 40) & (abs(events.Muon_eta) < 2.4)]
    return events.MET[(ak.num(muons) >= 2) & (events.MET > 30)]


def _write_events(path: Path, number: int) -> None:
    rng = np.random.default_rng(1)
    with uproot.recreate(path) as file:
        columns: dict[str, Any] = {"MET": rng.exponential(30, number).astype("f4")}
        for collection in ("Muon", "Jet", "Electron"):
            counts = rng.poisson(1.5, number)
            total = int(counts.sum())
            for name in ("pt", "eta", "phi", "mass", *(f"id{n}" for n in range(8))):
                values = rng.exponential(20, total) if name == "pt" else rng.normal(size=total)
                columns[f"{collection}_{name}"] = ak.unflatten(values.astype("f4"), counts)
        file.mktree(_TREE, columns)


def _measure(path: Path) -> Iterator[tuple[object, ...]]:
    derived = sxl.derive_query(_analysis, path, _TREE)
    columns = derived.selection()
    cut = columns.pop("cut")
    queries: dict[str, dict[str, Any]] = {
        "all columns": {"treename": _TREE},
        "globs by hand": {"treename": _TREE, "filter_name": ["MET", "Muon_*"]},
        "derived columns": columns,
        "derived columns and cut": {**columns, "cut": cut},
    }
    with _running() as service:
        for result_format in _FORMATS:
            for name, entry in queries.items():
                yield name, result_format, *_figures(service, path, entry, result_format)


@contextmanager
def _running() -> Iterator[LocalServiceX]:
    with (
        LocalServiceX() as service,
        dask.config.set(
            {
                "servicex-layer.config-path": str(service.servicex_yaml),
                "servicex-layer.poll-interval": "50ms",
            }
        ),
    ):
        yield service


def _figures(
    service: LocalServiceX, path: Path, entry: dict[str, Any], result_format: str
) -> tuple[str, str, str, str]:
    import json

    result = path.with_suffix(".result")
    selection = json.dumps([entry])
    start = time.perf_counter()
    size = run_query(str(path), selection, result, result_format).bytes
    transform = time.perf_counter() - start
    service.traffic.reset()
    start = time.perf_counter()
    request_id = service.submit([path], selection=selection, result_format=result_format)
    _analysis(sxl.from_servicex(request_id, tree=_TREE, form=path)).compute()
    total = time.perf_counter() - start
    read = service.traffic.bytes
    return f"{size / 1e6:.2f}", f"{read / 1e6:.2f}", f"{transform:.2f}", f"{total:.2f}"


if __name__ == "__main__":
    main()
