from __future__ import annotations

import json

import awkward as ak
import numpy as np
import pytest
import uproot

from servicex_layer.errors import InvalidArgumentError
from servicex_layer.uproot_raw import run_query

JETS = ak.Array([[10.0, 20.0], [], [30.0], [40.0, 50.0, 60.0], []])


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "in put:50%#*?.root"
    with uproot.recreate(path) as file:
        file.mktree("events", {"x": np.arange(5.0), "id": np.arange(5), "jet": JETS})
        file.mktree("more", {"y": np.arange(3)})
        file.mktree("empty", {"z": "int32", "jet": "var * float32"})
    return str(path)


@pytest.fixture
def run(source, tmp_path):
    def run(*entries):
        output = tmp_path / "out:put 50%"
        done = run_query(source, json.dumps(entries), output)
        assert done.bytes == output.stat().st_size
        with uproot.open({output: None}) as file:
            names = file.keys(filter_classname="TTree", cycle=False)
            trees = {name: file[name].arrays() for name in names}
        assert done.events == sum(len(tree) for tree in trees.values())
        return trees

    return run


def test_jagged_column_has_a_counter(run):
    (events,) = run({"treename": "events", "filter_name": ["jet"]}).values()
    assert events.fields == ["njet", "jet"]
    assert events.jet.tolist() == JETS.tolist()
    assert events.njet.tolist() == [2, 0, 1, 3, 0]


def test_all_columns_are_selected_by_default(run):
    (events,) = run({"treename": "events"}).values()
    assert sorted(events.fields) == ["id", "jet", "njet", "x"]


def test_expressions_aliases_and_cut_are_applied(run):
    query = {"treename": "events", "expressions": ["x", "twice"], "aliases": {"twice": "x * 2"}}
    (events,) = run({**query, "cut": "x >= 3"}).values()
    assert events.tolist() == [{"x": 3.0, "twice": 6.0}, {"x": 4.0, "twice": 8.0}]


def test_columns_are_filtered_by_type(run):
    (events,) = run({"treename": "events", "filter_typename": "int64_t"}).values()
    assert events.fields == ["id"]


@pytest.mark.parametrize(
    ("treename", "names"),
    [
        ("events;1", ["events"]),
        (["events", "more"], ["events", "more"]),
        ({"events": "e", "more": "dir/m"}, ["dir/m", "e"]),
    ],
)
def test_treename_names_input_and_output(run, treename, names):
    trees = run({"treename": treename})
    assert sorted(trees) == names


def test_selection_may_have_several_queries(run):
    assert sorted(run({"treename": "events"}, {"treename": "more"})) == ["events", "more"]


@pytest.mark.parametrize(
    "query",
    [{"treename": "events", "cut": "x > 100"}, {"treename": "empty"}],
    ids=["cut", "empty input"],
)
def test_tree_may_have_no_entries(run, query):
    (tree,) = run(query).values()
    assert len(tree) == 0
    assert "jet" in tree.fields
    assert "var *" in str(tree.jet.type)


def test_query_may_allow_trees_to_be_missing(run):
    assert run({"treename": "nope", "fail_on_missing_trees": False}) == {}


@pytest.mark.parametrize(
    "query",
    [
        {"treename": "nope"},
        {"treename": "events", "expressions": ["nope"]},
        {"treename": "events", "filter_name": "nope"},
    ],
)
def test_missing_tree_or_branch_is_an_error(run, query):
    with pytest.raises((KeyError, InvalidArgumentError), match=r"nope|no branch"):
        run(query)


def test_other_input_is_an_error(tmp_path):
    path = tmp_path / "a.root"
    path.write_bytes(b"not a ROOT file" * 100)
    with pytest.raises(ValueError, match="not a ROOT file"):
        run_query(str(path), '[{"treename": "t"}]', tmp_path / "out")


def test_unknown_format_is_an_error(source, tmp_path):
    with pytest.raises(InvalidArgumentError, match="hdf5"):
        run_query(source, '[{"treename": "events"}]', tmp_path / "out", "hdf5")
