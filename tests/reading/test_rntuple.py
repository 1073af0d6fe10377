from __future__ import annotations

from pathlib import Path

import awkward as ak
import pytest
import uproot
from reading.results import RecordingBytes  # type: ignore[import-not-found]

from servicex_layer.errors import SchemaMismatchError
from servicex_layer.forms import as_form
from servicex_layer.reading import select_columns
from servicex_layer.reading._rntuple import only_fields
from servicex_layer.reading._root import RootTree

JETS = ak.Array([[{"pt": 1.5, "hits": [1, 2]}], [], [{"pt": 2.5, "hits": []}] * 2])
RUNS = "Run2012BC_DoubleMuParked_Muons_1000evts_rntuple_v1-0-0-0.root"
NANO = "nano_dimuon_rntuple.root"
NESTED = {
    "jets": JETS,
    "lists": [[[1], [2, 3]], [], [[]]],
    "record": [{"inner": {"x": 1.5, "y": [1]}, "s": "a"}] * 3,
    "pair": [(1, 2.5), (2, 3.5), (3, 4.5)],
    "option": [1, None, 3],
}


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


@pytest.mark.parametrize(
    ("missing", "form"),
    [
        ("z", "{z: float64}"),
        # Uproot finds a subfield by its name alone.
        ("pt", "{pt: float64}"),
        ("jets.z", "{jets: var * {z: float64}}"),
        ("n.z", "{n: {z: int64}}"),
    ],
)
def test_missing_field_is_an_error(path: Path, missing: str, form: str):
    with (
        RootTree(RecordingBytes(path), None, "a") as tree,
        pytest.raises(SchemaMismatchError, match=f"'{missing}' is in the form but not in a"),
    ):
        tree.read(as_form(form))


def test_columns_are_those_that_uproot_reads_in_several_clusters(tmp_path: Path):
    path = tmp_path / "nested.root"
    columns = ak.Array(NESTED)
    with uproot.recreate(path) as file:
        ntuple = file.mkrntuple("events", columns)
        ntuple.extend(columns)
    assert_columns_equal_uproots(path, step=1)


@pytest.mark.parametrize(("name", "step"), [(RUNS, 1), (NANO, 100)])
def test_columns_of_a_real_file_are_those_that_uproot_reads(data: Path, name: str, step: int):
    assert_columns_equal_uproots(data / name, step)


def assert_columns_equal_uproots(path: Path, step: int) -> None:
    with (
        RootTree(RecordingBytes(path), None, "a") as tree,
        uproot.open(path, object_cache=None) as file,
    ):
        (name,) = file.keys()
        form = tree.form()
        for column in form.fields[::step]:
            arrays = tree.read(select_columns(form, frozenset({column})))
            expected = file[name][column].array()
            assert ak.array_equal(arrays[column], expected, equal_nan=True)


def test_form_is_that_of_uproot(data: Path):
    with (
        RootTree(RecordingBytes(data / RUNS), None, "a") as tree,
        uproot.open(data / RUNS, object_cache=None) as file,
    ):
        expected, _ = file["Events"].to_akform()
        assert tree.form() == expected


# Private names of Uproot


def test_uproot_looks_at_only_some_fields(path: Path):
    """Fails if Uproot keeps the fields of an RNTuple elsewhere."""
    with uproot.open(path, object_cache=None) as file:
        ntuple = file["events"]
        keys = ntuple.keys()
        with only_fields(ntuple, [ntuple["jets"]]):
            assert ntuple.keys() == ["jets", "jets.pt", "jets.hits"]
        assert ntuple.keys() == keys
