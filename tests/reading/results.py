"""Result files on a volume, and bytes that remember who read them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import awkward as ak
import numpy as np
from awkward.forms import RecordForm

from servicex_layer._model import Location, ResultFile
from servicex_layer.forms import as_form
from servicex_layer.reading import read
from servicex_layer.transport import ResultSource

DESCRIPTION = "Result 'a.root' of request R"
COLUMNS = {
    "x": np.arange(4.0),
    "n": np.arange(4, dtype=np.int32),
    "v": ak.Array([[1.5], [], [2.5, 3.5], []]),
}
FORM = as_form("{x: float64, n: int32, v: var * float64}")

Range = tuple[int, int]


def result(path: Path, events: int = 1, result_format: str = "root-file") -> ResultSource:
    """Describe a file as a result on a volume."""
    now = datetime.now(UTC)
    file = ResultFile(1, now, "a.root", "a", events, path.stat().st_size, result_format)
    return ResultSource(file, lambda _: Location("", path=str(path)), DESCRIPTION)


def read_array(
    path: Path,
    form: RecordForm,
    columns: frozenset[str] | None = None,
    tree: str | None = None,
    events: int = 1,
    result_format: str = "root-file",
) -> ak.Array:
    return ak.Array(read(result(path, events, result_format), form, columns, tree))


class RecordingBytes:
    """A `ByteSource` that records its calls."""

    def __init__(self, path: Path) -> None:
        self._body = path.read_bytes()
        self.size = len(self._body)
        self.fetches: list[list[Range]] = []
        self.reads: list[Range] = []

    def fetch(self, ranges: Iterable[Range]) -> None:
        self.fetches.append(list(ranges))

    def read(self, start: int, stop: int) -> memoryview:
        self.reads.append((start, stop))
        return memoryview(self._body)[start:stop]

    def clear(self) -> None:
        self.fetches.clear()
        self.reads.clear()

    def reads_beyond_first_fetch(self) -> list[Range]:
        """Return the reads that the first call of `fetch` did not announce."""
        announced = {byte for start, stop in self.fetches[0] for byte in range(start, stop)}
        return [
            (start, stop) for start, stop in self.reads if not {*range(start, stop)} <= announced
        ]
