from __future__ import annotations

from pathlib import Path

import awkward as ak
import pytest
from reading.results import COLUMNS, FORM, RecordingBytes  # type: ignore[import-not-found]

from servicex_layer.errors import SchemaMismatchError
from servicex_layer.forms import as_form
from servicex_layer.reading._root import RootTree


def test_columns_are_prefetched_at_once(one_tree: Path):
    body = RecordingBytes(one_tree)
    with RootTree(body, None, "a") as tree:
        body.clear()
        arrays = tree.read(FORM)
    assert ak.Array(arrays["v"]).to_list() == COLUMNS["v"].to_list()
    assert body.reads_beyond_first_fetch() == []


def test_lengths_are_read_from_the_counter_branch(one_tree: Path):
    form = as_form("{v: var * float64}")
    body = RecordingBytes(one_tree)
    with RootTree(body, None, "a") as tree:
        body.clear()
        tree.read(form)
        (values,) = body.fetches[0]
        body.clear()
        lists = ak.Array(tree.read(form, frozenset({"v"}))["v"])
    assert ak.num(lists).to_list() == ak.num(COLUMNS["v"]).to_list()
    assert body.reads
    assert values not in body.reads


@pytest.mark.parametrize("offsets_only", [frozenset(), frozenset({"z"})])
def test_missing_branch_is_an_error(one_tree: Path, offsets_only: frozenset[str]):
    with (
        RootTree(RecordingBytes(one_tree), None, "a") as tree,
        pytest.raises(SchemaMismatchError, match="'z' is in the form but not in a"),
    ):
        tree.read(as_form("{z: var * float64}"), offsets_only)


def test_columns_of_a_real_tree_have_names_of_their_own(data: Path):
    body = RecordingBytes(data / "uproot-HZZ.root")
    with RootTree(body, None, "a") as tree:
        form = tree.form()
        arrays = tree.read(as_form("{NJet: int32}"))
    assert len(form.fields) == len(set(form.fields))
    assert ak.Array(arrays["NJet"]).type == ak.types.ArrayType(ak.types.NumpyType("int32"), 2421)
