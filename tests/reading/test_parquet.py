from __future__ import annotations

from functools import partial
from pathlib import Path

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reading.results import (  # type: ignore[import-not-found]
    RecordingBytes,
    read_array,
    result,
)

from servicex_layer.errors import CorruptResultError, SchemaMismatchError
from servicex_layer.forms import as_form
from servicex_layer.reading import read_form, select_columns
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


def test_a_damaged_column_is_an_error(tmp_path: Path):
    path = write(tmp_path / "a")
    content = bytearray(path.read_bytes())
    column = pq.ParquetFile(path).metadata.row_group(0).column(0)
    start = column.dictionary_page_offset or column.data_page_offset
    stop = start + column.total_compressed_size
    content[start:stop] = b"\xff" * (stop - start)
    path.write_bytes(content)
    with (
        ParquetTable(RecordingBytes(path), "The file a") as table,
        pytest.raises(CorruptResultError, match=r"^The file a cannot be read as a Parquet file: "),
    ):
        table.read(table.form())


@pytest.mark.parametrize("nullable", [True, False])
def test_a_categorical_column_is_read_or_left_out(tmp_path: Path, nullable: bool):
    names = pa.array(["a", "b", "a"]).dictionary_encode()
    fields = [pa.field("name", names.type, nullable), pa.field("x", pa.float64(), nullable)]
    table = pa.table([names, [1.0, 2.0, 3.0]], schema=pa.schema(fields))
    pq.write_table(table, tmp_path / "a")
    form = read_form(result(tmp_path / "a", 3, "parquet"), None)
    read = partial(read_array, tmp_path / "a", form, events=3, result_format="parquet")
    assert read().name.to_list() == ["a", "b", "a"]
    assert read(columns=frozenset({"x"})).x.to_list() == [1.0, 2.0, 3.0]
