from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pyarrow.parquet as pq
import pytest
import uproot
from awkward.forms import NumpyForm

from servicex_layer import from_servicex
from servicex_layer._model import Location, ResultFile
from servicex_layer.errors import SchemaMismatchError
from servicex_layer.forms import as_form
from servicex_layer.reading import read
from servicex_layer.reading._counter_branches import derive_counter
from servicex_layer.transport import ResultSource

JETS = ak.Array([[{"pt": 1.5, "eta": 0.5}], [], [{"pt": 2.5, "eta": 1.5}] * 2])
FORMATS = ["root-file", "root-rntuple", "parquet"]


def write(path: Path, result_format: str, **columns: Any) -> Path:
    if result_format == "parquet":
        pq.write_table(ak.to_arrow_table(ak.Array(columns)), path)
    else:
        with uproot.recreate(path) as file:
            if result_format == "root-file":
                file.mktree("events", columns)
            else:
                file.mkrntuple("events", ak.Array(columns))
    return path


def read_columns(path: Path, result_format: str, form: str, *columns: str) -> ak.Array:
    file = ResultFile(1, datetime.now(UTC), "a", "a", 3, path.stat().st_size, result_format)
    source = ResultSource(file, lambda _: Location("", path=str(path)), "Result 'a' of request R")
    return ak.Array(read(source, as_form(form), frozenset(columns), None))


@pytest.mark.parametrize("result_format", FORMATS)
@pytest.mark.parametrize("integers", ["int32", "int64", "uint8"])
def test_missing_counter_is_derived(tmp_path: Path, result_format: str, integers: str):
    # Uproot's own counter of this one has another name.
    path = write(tmp_path / "a", result_format, Jet_pt=JETS.pt, Jet_eta=JETS.eta, n=np.arange(3.0))
    form = f"{{nJet: {integers}, Jet_pt: var * float64, n: float64}}"
    both = read_columns(path, result_format, form, "nJet", "Jet_pt", "n")
    assert both.fields == ["nJet", "Jet_pt", "n"]
    assert both.nJet.to_list() == [1, 0, 2]
    assert both.Jet_pt.to_list() == JETS.pt.to_list()
    alone = read_columns(path, result_format, form, "nJet")
    assert str(alone.type) == f"3 * {{nJet: {integers}}}"
    assert alone.nJet.to_list() == [1, 0, 2]


@pytest.mark.parametrize("result_format", FORMATS[1:])
def test_counter_of_records_is_derived(tmp_path: Path, result_format: str):
    path = write(tmp_path / "a", result_format, Jet=JETS)
    assert read_columns(path, result_format, "{nJet: int32}", "nJet").nJet.to_list() == [1, 0, 2]


def test_stored_counter_is_read(tmp_path: Path):
    columns = {"nJet": np.array([7, 8, 9], dtype=np.int64), "Jet_pt": JETS.pt}
    path = write(tmp_path / "a", "root-file", **columns)
    assert read_columns(path, "root-file", "{nJet: int64}", "nJet").nJet.to_list() == [7, 8, 9]


def test_columns_with_different_counts_are_an_error(tmp_path: Path):
    path = write(tmp_path / "a", "parquet", Jet_pt=JETS.pt, Jet_hits=ak.Array([[], [1], []]))
    with pytest.raises(SchemaMismatchError, match=r"'nJet'.*request R.*'Jet_pt' and 'Jet_hits'"):
        read_columns(path, "parquet", "{nJet: int32}", "nJet")


def test_counter_too_large_for_its_integers_is_an_error():
    columns = {"Jet_pt": ak.Array([[0] * 200]).layout}
    assert derive_counter(NumpyForm("uint8"), columns, "nJet", "a").to_list() == [200]
    with pytest.raises(SchemaMismatchError, match=r"'nJet' is in the form as int8 .* 200 values"):
        derive_counter(NumpyForm("int8"), columns, "nJet", "a")


@pytest.mark.parametrize("result_format", FORMATS)
@pytest.mark.parametrize("column", ["nJet: int32", "nJet: float64", "n: int32", "met: float64"])
def test_other_columns_are_not_derived(tmp_path: Path, result_format: str, column: str):
    path = write(
        tmp_path / "a", result_format, Jet=np.arange(3), Jets_pt=JETS.pt, Jet_name=["a", "", "c"]
    )
    name, _, _ = column.partition(":")
    with pytest.raises(SchemaMismatchError, match=f"'{name}' is in the form but not in .*'a'"):
        read_columns(path, result_format, f"{{{column}, Jet: int64}}", name)


@pytest.mark.dask_awkward
def test_counter_of_a_real_vector_is_derived(data: Path, finished: Callable[..., str]):
    """The real result has a `std::vector` without a counter."""
    path = data / "0fc6e51a5ea6dea107c195591d20a1b2-15.26710677._000019.pool.root.1"
    request_id = finished([path], "treeme", result_format="parquet")
    events = from_servicex(request_id, form="{nJetPt: int32, JetPt: var * float64}")
    assert ak.sum(events.nJetPt).compute() == 135_013
