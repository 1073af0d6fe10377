from __future__ import annotations

import random
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from reading.results import COLUMNS, RecordingBytes  # type: ignore[import-not-found]

from servicex_layer.reading import select_columns
from servicex_layer.reading._root import RootTree
from servicex_layer.reading._single_branches import SingleBranches, read_single_branches

REAL_TREES = [
    ("nano_dimuon.root", "Events", 40),
    ("nano_dimuon.root", "Runs", 1),
    ("uproot-HZZ.root", "events", 1),
    ("uproot-Zmumu.root", "events", 1),
    ("0fc6e51a5ea6dea107c195591d20a1b2-15.26710677._000019.pool.root.1", "treeme", 1),
]


@pytest.fixture
def uncompressed(tmp_path: Path) -> Path:
    path = tmp_path / "uncompressed.root"
    with uproot.recreate(path, compression=None) as file:
        file.mktree("events", COLUMNS)
    return path


def single_branches(path: Path, tree: str = "events") -> SingleBranches:
    with uproot.open(path) as file:
        single = read_single_branches(file.key(tree))
    assert single is not None
    return single


def names(single: SingleBranches) -> list[str]:
    return [branch.name for branch in single.tree.branches]


# Private names of Uproot


def test_no_branch_is_read_with_the_tree(one_tree: Path):
    """Fails if Uproot no longer reads the branches with the class that the file returns."""
    single = single_branches(one_tree)
    assert names(single) == []
    assert single.tree.num_entries == 4


def test_branch_is_read_with_its_counter_only(one_tree: Path):
    """Fails if Uproot no longer looks for references with `in`."""
    single = single_branches(one_tree)
    branch = single.get("v")
    assert branch is not None
    assert branch.count_branch.name == "nv"
    assert sorted(names(single)) == ["nv", "v"]
    assert single.get("v") is branch


def test_branch_of_a_real_tree_is_read_with_those_that_have_its_classes(data: Path):
    """Fails if Uproot no longer looks for references with `in`.

    ROOT writes the name of a class only once.
    """
    single = single_branches(data / "nano_dimuon.root", "Events")
    branch = single.get("Muon_pt")
    assert branch is not None
    assert branch.count_branch is single.get("nMuon")
    assert {"run", "Muon_pt", "nMuon"} < set(names(single))
    assert len(names(single)) < 10


# Branches that cannot be read without the others


def test_unknown_branch_is_none(one_tree: Path):
    assert single_branches(one_tree).get("z") is None


def test_branches_of_the_same_name_are_none(uncompressed: Path):
    body = uncompressed.read_bytes()
    uncompressed.write_bytes(body.replace(b"\x01n", b"\x01x"))
    single = single_branches(uncompressed)
    assert single.get("x") is None
    assert single.get("v") is not None


def test_tree_whose_branches_have_no_byte_count_is_none(uncompressed: Path):
    body = uncompressed.read_bytes()
    first = body.index(b"\xff\xff\xff\xffTBranch\x00")
    uncompressed.write_bytes(body[: first - 4] + bytes(4) + body[first:])
    with uproot.open(uncompressed) as file:
        assert read_single_branches(file.key("events")) is None


def test_tree_whose_byte_counts_do_not_add_up_is_none(uncompressed: Path):
    body = uncompressed.read_bytes()
    first = body.index(b"\xff\xff\xff\xffTBranch\x00")
    count = int.from_bytes(body[first - 4 : first], "big") + 1
    uncompressed.write_bytes(body[: first - 4] + count.to_bytes(4, "big") + body[first:])
    with uproot.open(uncompressed) as file:
        assert read_single_branches(file.key("events")) is None


def test_branch_that_uproot_cannot_read_is_none(uncompressed: Path):
    body = uncompressed.read_bytes()
    uncompressed.write_bytes(body.replace(b"\xffTBranch\x00", b"\xffTBrunch\x00"))
    assert single_branches(uncompressed).get("v") is None


# The same as the whole tree


@pytest.mark.parametrize("extensions", [0, 1, 3])
def test_columns_are_those_of_the_whole_tree(tmp_path: Path, extensions: int):
    columns = {**COLUMNS, "a.b": np.arange(4.0), "b": np.ones(4), "s": ["a", "", "b", "c"]}
    types = {name: ak.Array(column).type.content for name, column in columns.items()}
    path = tmp_path / "a.root"
    with uproot.recreate(path) as file:
        tree = file.mktree("events", types)
        for _ in range(extensions):
            tree.extend(columns)
    assert_columns_equal_whole_tree(path, "events")


@pytest.mark.parametrize(("name", "tree", "step"), REAL_TREES)
def test_each_column_of_a_real_tree_is_that_of_the_whole_tree(
    data: Path, name: str, tree: str, step: int
):
    assert_columns_equal_whole_tree(data / name, tree, step)


def assert_columns_equal_whole_tree(path: Path, tree: str, step: int = 1) -> None:
    with RootTree(RecordingBytes(path), tree, "a") as whole:
        form = whole.form()
        expected = whole.read(form)
    generator = random.Random(1)
    columns = [[column] for column in form.fields[::step]]
    columns += [generator.sample(form.fields, 2) for _ in range(20) if len(form.fields) > 1]
    for selected in columns:
        with RootTree(RecordingBytes(path), tree, "a") as root_tree:
            arrays = root_tree.read(select_columns(form, frozenset(selected)))
        for column in selected:
            assert ak.array_equal(arrays[column], expected[column], equal_nan=True)
