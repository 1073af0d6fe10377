from __future__ import annotations

from pathlib import Path

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reading.results import RecordingBytes  # type: ignore[import-not-found]

from servicex_layer.errors import CorruptResultError, SchemaMismatchError
from servicex_layer.forms import as_form
from servicex_layer.reading import select_columns
from servicex_layer.reading._parquet import ParquetTable

JETS = ak.Array([[{"pt": 1.5, "n": 1}], [], [{"pt": 2.5, "n": 2}] * 2])


def write(path: Path, *, extension: bool = False, compliant: bool = True) -> Path:
    table = ak.to_arrow_table(ak.Array({"jets": JETS, "x": [1, 2, 3]}), extensionarray=extension)
    pq.write_table(table, path, row_group_size=2, use_compliant_nested_type=compliant)
    return path


@pytest.mark.parametrize("extension", [True, False])
@pytest.mark.parametrize("compliant", [True, False])
def test_fields_of_records_are_prefetched_at_once(tmp_path: Path, extension: bool, compliant: bool):
    body = RecordingBytes(write(tmp_path / "a", extension=extension, compliant=compliant))
    with ParquetTable(body, "a") as table:
        body.clear()
        jets = ak.Array(table.read(as_form("{jets: var * {pt: float64}}"))["jets"])
    assert jets.fields == ["pt"]
    assert jets.pt.to_list() == JETS.pt.to_list()
    assert body.reads_beyond_first_fetch() == []


def test_small_gaps_between_columns_are_prefetched_and_large_ones_are_not(tmp_path: Path):
    """Fails if pyarrow reads over larger gaps."""
    random = np.random.default_rng(1).random
    rows = {"a": random(500), "b": random(1000), "c": random(500), "d": random(2000)}
    arrays = {name: pa.array([values.tobytes()]) for name, values in rows.items()}
    pq.write_table(pa.table({**arrays, "e": arrays["a"]}), tmp_path / "a", use_dictionary=False)
    body = RecordingBytes(tmp_path / "a")
    with ParquetTable(body, "a") as table:
        form = table.form()
        body.clear()
        table.read(select_columns(form, frozenset("ace")))
    assert len(body.reads) == len(body.fetches[0]) == 2
    assert body.reads_beyond_first_fetch() == []


def test_missing_column_is_an_error(tmp_path: Path):
    with (
        ParquetTable(RecordingBytes(write(tmp_path / "a")), "a") as table,
        pytest.raises(SchemaMismatchError, match="'z' is in the form but not in a, which has jets"),
    ):
        table.read(as_form("{z: float64}"))


def test_other_bytes_are_an_error(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"PAR1" * 10)
    with pytest.raises(CorruptResultError, match=r"^The file a cannot be read as a Parquet file: "):
        ParquetTable(RecordingBytes(tmp_path / "a"), "The file a")
