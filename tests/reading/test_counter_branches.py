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
from servicex_layer.reading._counter_branches import count
from servicex_layer.reading._read import read
from servicex_layer.transport._result import ResultSource

JETS = ak.Array([[{"pt": 1.5, "eta": 0.5}], [], [{"pt": 2.5, "eta": 1.5}] * 2])
KINDS = ["root-file", "root-rntuple", "parquet"]


def written(path: Path, kind: str, **columns: Any) -> Path:
    if kind == "parquet":
        pq.write_table(ak.to_arrow_table(ak.Array(columns)), path)
    else:
        with uproot.recreate(path) as file:
            if kind == "root-file":
                file.mktree("events", columns)
            else:
                file.mkrntuple("events", ak.Array(columns))
    return path


def found(path: Path, kind: str, form: str, *columns: str) -> ak.Array:
    file = ResultFile(1, datetime.now(UTC), "a", "a", 3, path.stat().st_size, kind)
    source = ResultSource(file, lambda _: Location("", path=str(path)), "Result 'a' of request R")
    return ak.Array(read(source, as_form(form), frozenset(columns), None))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("integers", ["int32", "int64", "uint8"])
def test_counter_that_a_file_does_not_have(tmp_path: Path, kind: str, integers: str):
    # Uproot's own counter of this one has another name.
    path = written(tmp_path / "a", kind, Jet_pt=JETS.pt, Jet_eta=JETS.eta, n=np.arange(3.0))
    form = f"{{nJet: {integers}, Jet_pt: var * float64, n: float64}}"
    both = found(path, kind, form, "nJet", "Jet_pt", "n")
    assert both.fields == ["nJet", "Jet_pt", "n"]
    assert both.nJet.to_list() == [1, 0, 2]
    assert both.Jet_pt.to_list() == JETS.pt.to_list()
    alone = found(path, kind, form, "nJet")
    assert str(alone.type) == f"3 * {{nJet: {integers}}}"
    assert alone.nJet.to_list() == [1, 0, 2]


@pytest.mark.parametrize("kind", KINDS[1:])
def test_counter_of_records(tmp_path: Path, kind: str):
    path = written(tmp_path / "a", kind, Jet=JETS)
    assert found(path, kind, "{nJet: int32}", "nJet").nJet.to_list() == [1, 0, 2]


def test_counter_that_is_there_is_read(tmp_path: Path):
    columns = {"nJet": np.array([7, 8, 9], dtype=np.int64), "Jet_pt": JETS.pt}
    path = written(tmp_path / "a", "root-file", **columns)
    assert found(path, "root-file", "{nJet: int64}", "nJet").nJet.to_list() == [7, 8, 9]


def test_counter_of_columns_that_differ(tmp_path: Path):
    path = written(tmp_path / "a", "parquet", Jet_pt=JETS.pt, Jet_hits=ak.Array([[], [1], []]))
    with pytest.raises(SchemaMismatchError, match=r"'nJet'.*request R.*'Jet_pt' and 'Jet_hits'"):
        found(path, "parquet", "{nJet: int32}", "nJet")


def test_counter_that_its_integers_do_not_hold():
    columns = {"Jet_pt": ak.Array([[0] * 200]).layout}
    assert count(NumpyForm("uint8"), columns, "nJet", "a").to_list() == [200]
    with pytest.raises(SchemaMismatchError, match=r"'nJet' is in the form as int8 .* 200 values"):
        count(NumpyForm("int8"), columns, "nJet", "a")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("column", ["nJet: int32", "nJet: float64", "n: int32", "met: float64"])
def test_other_columns_are_not_made_up(tmp_path: Path, kind: str, column: str):
    path = written(tmp_path / "a", kind, Jet=np.arange(3), Jets_pt=JETS.pt, Jet_name=["a", "", "c"])
    name, _, _ = column.partition(":")
    with pytest.raises(SchemaMismatchError, match=f"'{name}' is in the form but not in .*'a'"):
        found(path, kind, f"{{{column}, Jet: int64}}", name)


def test_counter_of_a_result_of_cpp(data: Path, finished: Callable[..., str]):
    """The real result has a `std::vector` without a counter."""
    path = data / "0fc6e51a5ea6dea107c195591d20a1b2-15.26710677._000019.pool.root.1"
    request_id = finished([path], "treeme", result_format="parquet")
    events = from_servicex(request_id, form="{nJetPt: int32, JetPt: var * float64}")
    assert ak.sum(events.nJetPt).compute() == 135_013
