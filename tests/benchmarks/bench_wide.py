"""Two columns of real NanoAOD files with more than 1 600, beside `uproot.dask`.

The files are `nano_dimuon.root` and `nano_dimuon_rntuple.root` in `$SERVICEX_LAYER_DATA`.

What is left of a TTree's 6 to 8 ms (cProfile): half is finding where its branches begin and their
names, a quarter reading both columns, an eighth decompressing the tree. Uproot's own way, 270 ms,
reads 1 601 branches and as many leaves. It could skip them as it skips baskets with the option
`minimal_ttree_metadata`, and read a branch when `tree[name]` asks for it.

What is left of an RNTuple's 90 to 100 ms: half is Uproot's reading of the header, with all fields
and columns, a quarter `RNTuple.all_fields`, which makes and sorts all fields, a seventh the
locations of all pages. Uproot's own way, 2.7 s, is `RField.fields`, which searches the 2 273 fields
for the subfields of each. It could use the parents' lists that `RNTuple` already has for its forms.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import awkward as ak
import click
import dask
import numpy as np
import uproot
from _arrays import uproot_array  # type: ignore[import-not-found]
from _command_line import parse_numbers  # type: ignore[import-not-found]
from _figures import Figure, report  # type: ignore[import-not-found]
from _turns import time_in_turns  # type: ignore[import-not-found]
from dask_awkward.lib.io.io import from_map

from servicex_layer._model import Location, ResultFile
from servicex_layer.forms import as_form
from servicex_layer.reading import read
from servicex_layer.transport import ResultSource

_FORM = as_form("{Muon_pt: var * float32, MET_pt: float32}")
_TREE = "Events"
_SUM_OF_MUON_PT = 1306.4951171875
_PEER = "uproot.dask over the same files, known form"


class ReadFile:
    """Reads a file as a partition of `from_servicex` does."""

    def __call__(self, path: Path) -> ak.Array:
        """Read both columns."""
        size = path.stat().st_size
        file = ResultFile(1, datetime.now(UTC), path.name, "input.root", 1, size)
        source = ResultSource(file, lambda _: Location("", path=str(path)), path.name)
        return ak.Array(read(source, _FORM, frozenset(_FORM.fields), _TREE))


def our_array(paths: Sequence[Path]) -> Any:
    """Make an array of files that this package reads."""
    return from_map(ReadFile(), paths, meta=ak.typetracer.typetracer_from_form(_FORM))


def their_array(paths: Sequence[Path]) -> Any:
    """Make an array of files that `uproot.dask` reads."""
    return uproot_array(map(str, paths), _FORM, _TREE)


def copy_with_uuids(source: Path, directory: Path, count: int) -> list[Path]:
    """Copy a file, with a UUID for each copy: Uproot caches the trees of a UUID."""
    with uproot.open(source) as file:
        old = file.file.uuid.bytes
    body = source.read_bytes()
    directory.mkdir()
    paths = [directory / f"{index:02}.root" for index in range(count)]
    for path in paths:
        path.write_bytes(body.replace(old, uuid.uuid4().bytes))
    return paths


def analyse(make_array: Callable[[Sequence[Path]], Any], paths: Sequence[Path]) -> list[float]:
    """Sum both columns on one thread, and return the sums per file."""
    events = make_array(paths)
    sums = dask.compute(  # type: ignore[attr-defined]
        ak.sum(events.Muon_pt), ak.sum(events.MET_pt), scheduler="sync"
    )
    return [float(each) / len(paths) for each in sums]


def measure(source: Path, files: int, rounds: int) -> dict[str, list[float]]:
    """Time both readers in turns; in each round they read new copies."""
    with TemporaryDirectory(prefix="servicex-layer-bench-") as directory:
        copies = [
            copy_with_uuids(source, Path(directory) / str(number), files)
            for number in range(rounds + 1)
        ]
        our_copies, their_copies = iter(copies), iter(copies)
        times, sums = time_in_turns(
            {
                "ours": lambda: analyse(our_array, next(our_copies)),
                "theirs": lambda: analyse(their_array, next(their_copies)),
            },
            rounds,
        )
    if not all(np.allclose(each, [_SUM_OF_MUON_PT, sums[0][1]], rtol=1e-5) for each in sums):
        raise SystemExit(f"WRONG RESULT: {sums}")
    return {name: [seconds / files for seconds in each] for name, each in times.items()}


def main() -> None:
    """Measure a TTree and an RNTuple of the same events."""
    numbers = parse_numbers(__doc__, rounds=5, wide_trees=8, wide_ntuples=2)
    directory = os.environ.get("SERVICEX_LAYER_DATA")
    figures = []
    if directory is not None:
        data = Path(directory)
        tree = measure(data / "nano_dimuon.root", numbers.wide_trees, numbers.rounds)
        ntuple = measure(data / "nano_dimuon_rntuple.root", numbers.wide_ntuples, numbers.rounds)
        figures = [
            Figure(
                "two of 1 601 branches of a NanoAOD TTree, one thread, per file",
                _PEER,
                tree["ours"],
                tree["theirs"],
                bound=0.7,
            ),
            Figure(
                "two of 1 937 columns of a NanoAOD RNTuple, one thread, per file",
                _PEER,
                ntuple["ours"],
                ntuple["theirs"],
                bound=0.1,
            ),
        ]
    else:
        click.echo("Nothing is measured without real files: set $SERVICEX_LAYER_DATA.")
    report("Two of many columns", figures)


if __name__ == "__main__":
    main()
