from __future__ import annotations

from pathlib import Path

import awkward as ak
import pytest
import uproot
from reading.results import RecordingBytes  # type: ignore[import-not-found]

from servicex_layer.errors import SchemaMismatchError
from servicex_layer.forms import as_form
from servicex_layer.reading._root import RootTree

JETS = ak.Array([[{"pt": 1.5, "hits": [1, 2]}], [], [{"pt": 2.5, "hits": []}] * 2])
RUNS = "Run2012BC_DoubleMuParked_Muons_1000evts_rntuple_v1-0-0-0.root"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a.root"
    with uproot.recreate(path) as file:
        file.mkrntuple("events", ak.Array({"jets": JETS, "n": [1, 2, 3], "s": ["a", "", "b"]}))
    return path


def test_columns_are_prefetched_at_once(path: Path):
    """Fails if Uproot spells the keys of its forms in another way."""
    body = RecordingBytes(path)
    with RootTree(body, None, "a") as tree:
        form = tree.form()
        body.clear()
        arrays = tree.read(form)
    assert ak.Array(arrays["jets"]).to_list() == JETS.to_list()
    assert body.reads
    assert body.reads_beyond_first_fetch() == []


def test_columns_of_a_real_file_are_prefetched_at_once(data: Path):
    """It has fields that are aliases of others."""
    body = RecordingBytes(data / RUNS)
    with RootTree(body, None, "a") as tree:
        form = tree.form()
        body.clear()
        tree.read(form)
    assert body.reads
    assert body.reads_beyond_first_fetch() == []


def test_fields_of_records_are_read_without_the_others(path: Path):
    form = as_form("{jets: var * {pt: float64}}")
    body = RecordingBytes(path)
    with RootTree(body, None, "a") as tree:
        body.clear()
        jets = ak.Array(tree.read(form)["jets"])
    assert jets.fields == ["pt"]
    assert jets.pt.to_list() == JETS.pt.to_list()
    assert body.reads_beyond_first_fetch() == []
    assert len(body.fetches[0]) == 2


def test_records_whose_name_has_a_dot_are_read(tmp_path: Path):
    path = tmp_path / "a.root"
    with uproot.recreate(path) as file:
        file.mkrntuple("events", ak.Array({"jets.links": JETS, "jets.pt": JETS.pt}))
    with RootTree(RecordingBytes(path), None, "a") as tree:
        arrays = tree.read(tree.form())
    assert ak.Array(arrays["jets.links"]).to_list() == JETS.to_list()
    assert ak.Array(arrays["jets.pt"]).to_list() == JETS.pt.to_list()


def test_lengths_are_read_without_the_items(path: Path):
    form = as_form("{jets: var * {pt: float64}}")
    body = RecordingBytes(path)
    with RootTree(body, None, "a") as tree:
        body.clear()
        jets = ak.Array(tree.read(form, frozenset({"jets"}))["jets"])
    assert ak.num(jets).to_list() == [1, 0, 2]
    assert len(body.fetches[0]) == 1
    assert body.reads_beyond_first_fetch() == []


def test_missing_field_is_an_error(path: Path):
    with (
        RootTree(RecordingBytes(path), None, "a") as tree,
        pytest.raises(SchemaMismatchError, match="'z' is in the form but not in a"),
    ):
        tree.read(as_form("{z: float64}"))
