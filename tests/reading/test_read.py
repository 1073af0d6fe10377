from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from awkward.forms import RecordForm
from reading.results import (  # type: ignore[import-not-found]
    COLUMNS,
    DESCRIPTION,
    FORM,
    read_array,
    result,
)

from servicex_layer.errors import (
    CorruptResultError,
    MissingObjectError,
    SchemaMismatchError,
    TreeNotFoundError,
)
from servicex_layer.forms import as_form, datashape_of
from servicex_layer.reading import read, read_form


def form_of(path: Path, tree: str | None = None) -> RecordForm:
    return read_form(result(path), tree)


def test_columns_are_in_the_order_of_the_form(one_tree: Path):
    assert read_array(one_tree, FORM).to_list() == ak.Array(COLUMNS).to_list()
    some = read_array(one_tree, FORM, frozenset({"v", "x"}))
    assert some.fields == ["x", "v"]
    assert some.v.to_list() == COLUMNS["v"].to_list()


def test_no_column_gives_the_number_of_events(one_tree: Path):
    array = read_array(one_tree, FORM, frozenset())
    assert (len(array), array.fields) == (4, [])


def test_mistyped_tree_is_an_error_even_without_events(two_trees: Path, tmp_path: Path):
    # A transformer that does not count events reports 0.
    with pytest.raises(TreeNotFoundError, match="no tree 'nope'"):
        read_array(two_trees, FORM, tree="nope", events=0)
    with uproot.recreate(tmp_path / "none.root") as file:
        file.mktree("other", {"x": np.array([], float)})
    assert len(read_array(tmp_path / "none.root", FORM, tree="events", events=0)) == 0


def test_tree_without_events_is_read(tmp_path: Path):
    with uproot.recreate(tmp_path / "empty.root") as file:
        file.mktree("events", {"x": "float64", "v": "var * float64"})
    path = tmp_path / "empty.root"
    array = read_array(path, as_form("{x: float64, v: var * float64}"))
    assert len(array) == 0
    assert str(array.type) == "0 * {x: float64, v: var * float64}"


def test_form_of_a_file(one_tree: Path):
    assert datashape_of(form_of(one_tree)) == (
        "{x: float64, n: int32, nv: int32, v: var * float64}"
    )


def test_form_may_be_wider_than_the_file(one_tree: Path):
    array = read_array(one_tree, as_form("{n: int64, x: ?float64}"))
    assert str(array.type) == "4 * {n: int64, x: ?float64}"
    assert array.n.to_list() == [0, 1, 2, 3]


def test_form_that_does_not_match_is_an_error(one_tree: Path):
    with pytest.raises(SchemaMismatchError) as caught:
        read_array(one_tree, as_form("{x: float32}"))
    assert all(word in str(caught.value) for word in (DESCRIPTION, "'x'", "float64", "float32"))


def test_missing_column_is_an_error_that_lists_the_others(one_tree: Path):
    with pytest.raises(SchemaMismatchError) as caught:
        read_array(one_tree, as_form("{x: float64, pt: float32}"))
    assert all(word in str(caught.value) for word in (DESCRIPTION, "'pt'", "x, n, nv, v"))


@pytest.mark.parametrize("body", [b"", b"x", b"PAR1" * 100, b"<html>not found</html>", b"root"])
@pytest.mark.parametrize("result_format", ["root-file", "root-rntuple", "parquet"])
def test_other_bytes_are_an_error(tmp_path: Path, body: bytes, result_format: str):
    path = tmp_path / "a.root"
    path.write_bytes(body)
    calls = [
        lambda: read_array(path, FORM, result_format=result_format),
        lambda: read_form(result(path, result_format=result_format), None),
    ]
    for call in calls:
        with pytest.raises(CorruptResultError) as caught:
            call()
        assert DESCRIPTION in str(caught.value)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Two columns that do not compress."""
    values = np.random.default_rng(1).random(20_000)
    with uproot.recreate(tmp_path / "large.root") as file:
        file.mktree("events", {"good": values, "bad": values})
    return tmp_path / "large.root"


@pytest.mark.parametrize("part", [0.0001, 0.001, 0.01, 0.1, 0.5, 0.9])
def test_truncated_file_is_an_error(large: Path, part: float):
    os.truncate(large, int(part * large.stat().st_size))
    with pytest.raises(CorruptResultError) as caught:
        read_array(large, as_form("{good: float64, bad: float64}"))
    assert DESCRIPTION in str(caught.value)


def test_corrupt_branch_is_an_error_only_if_it_is_read(large: Path, spoil: Callable[..., bytes]):
    large.write_bytes(spoil(large.read_bytes(), "events", "bad"))
    form = as_form("{good: float64, bad: float64}")
    assert len(read_array(large, form, frozenset({"good"}))) == 20_000
    with pytest.raises(CorruptResultError) as caught:
        read_array(large, form, frozenset({"bad"}))
    assert DESCRIPTION in str(caught.value)


def test_missing_file_is_an_error(one_tree: Path):
    source = result(one_tree)
    one_tree.unlink()
    with pytest.raises(MissingObjectError, match=DESCRIPTION):
        read(source, FORM, None, None)


@pytest.mark.parametrize("result_format", ["root-file", "root-rntuple"])
@pytest.mark.parametrize("tree", [None, "events"])
def test_missing_tree_is_an_error_if_there_are_events(
    tmp_path: Path, result_format: str, tree: str | None
):
    path = tmp_path / "a"
    with uproot.recreate(path) as file:
        file["h"] = np.histogram([1.0])
    form = as_form("{x: float64, v: var * {pt: float32, eta: ?float32}, s: string}")

    def read_some(events: int, columns: frozenset[str] | None) -> ak.Array:
        return read_array(path, form, columns, tree, events, result_format)

    assert str(read_some(0, None).type) == f"0 * {form.type}"
    fields = read_some(0, frozenset({"v.pt", "s"}))
    assert str(fields.type) == "0 * {v: var * {pt: float32}, s: string}"
    assert read_some(0, frozenset()).fields == []
    with pytest.raises(TreeNotFoundError, match=DESCRIPTION):
        read_some(1, None)
