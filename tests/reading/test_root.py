from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import uproot
from awkward.forms import RecordForm
from reading.results import (  # type: ignore[import-not-found]
    COLUMNS,
    DESCRIPTION,
    FORM,
    RecordingBytes,
    read_array,
    result,
)

from servicex_layer.errors import AmbiguousTreeError, CorruptResultError, TreeNotFoundError
from servicex_layer.forms import as_form
from servicex_layer.reading import read_form
from servicex_layer.reading._root import RootTree, cache_class_lookups


def form_of(path: Path, tree: str | None = None) -> RecordForm:
    return read_form(result(path), tree)


def test_only_tree_needs_no_name(one_tree: Path, two_trees: Path):
    for path, tree in [(one_tree, None), (one_tree, "events"), (two_trees, "events")]:
        assert read_array(path, FORM, tree=tree).x.to_list() == [0, 1, 2, 3]
    assert read_array(two_trees, as_form("{y: float64}"), tree="other").y.to_list() == [0, 1]


def test_several_trees_need_a_name(two_trees: Path):
    for call in (lambda: read_array(two_trees, FORM), lambda: form_of(two_trees)):
        with pytest.raises(AmbiguousTreeError, match=r"events.*other") as caught:
            call()
        assert DESCRIPTION in str(caught.value)


def test_missing_tree_is_an_error_that_lists_the_others(two_trees: Path):
    with pytest.raises(TreeNotFoundError, match=r"no tree 'nope'.*events.*other") as caught:
        read_array(two_trees, FORM, tree="nope")
    assert DESCRIPTION in str(caught.value)


def test_file_without_a_tree_is_an_error(tmp_path: Path):
    with uproot.recreate(tmp_path / "none.root") as file:
        file["h"] = np.histogram([1.0, 2.0])
    path = tmp_path / "none.root"
    for tree in (None, "events"):
        with pytest.raises(TreeNotFoundError, match="no tree at all"):
            read_array(path, FORM, tree=tree)


def test_histogram_beside_the_tree_is_ignored(tmp_path: Path):
    with uproot.recreate(tmp_path / "both.root") as file:
        file.mktree("events", COLUMNS)
        file["h"] = np.histogram([1.0, 2.0])
    assert len(read_array(tmp_path / "both.root", FORM)) == 4


def test_tree_in_a_directory_has_its_path_as_name(tmp_path: Path):
    with uproot.recreate(tmp_path / "deep.root") as file:
        file.mktree("reco/nominal", {"x": np.arange(3.0)})
    path = tmp_path / "deep.root"
    for tree in (None, "reco/nominal"):
        assert len(read_array(path, as_form("{x: float64}"), tree=tree)) == 3


def test_annotated_form_has_titles_and_cpp_types(one_tree: Path):
    with RootTree(RecordingBytes(one_tree), None, "a") as tree:
        form = tree.annotated_form()
    assert form.content("x").parameters == {"__doc__": "x/D", "typename": "double"}
    assert form.content("v").parameters["typename"] == "double[]"
    assert form.parameters["typenames"]["n"] == "int32_t"


def test_fetch_announces_columns_without_reading_them(one_tree: Path):
    body = RecordingBytes(one_tree)
    with RootTree(body, None, "a") as tree:
        body.clear()
        tree.fetch(FORM)
    assert body.reads == []
    assert len(body.fetches[0]) >= 3


def test_errors_of_uproot_name_the_file(one_tree: Path):
    one_tree.write_bytes(one_tree.read_bytes()[:100])
    with pytest.raises(CorruptResultError, match=r"^The file a cannot be read as a ROOT file: "):
        RootTree(RecordingBytes(one_tree), None, "The file a")


# Private names of Uproot


def test_uproot_looks_classes_up_by_the_attribute_that_is_cached(one_tree: Path):
    with uproot.open(one_tree) as directory:
        file = directory.file
        cache_class_lookups(file)
        assert len(directory["events"].branches) == 4
        calls = file.class_named.cache_info()
    assert calls.hits > calls.misses > 0
