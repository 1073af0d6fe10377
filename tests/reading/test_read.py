from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from awkward.forms import RecordForm

from servicex_layer._model import Location, ResultFile
from servicex_layer.errors import (
    AmbiguousTreeError,
    CorruptResultError,
    MissingObjectError,
    SchemaMismatchError,
    TreeNotFoundError,
)
from servicex_layer.forms import as_form, datashape_of
from servicex_layer.reading._read import read, read_form
from servicex_layer.transport._result import ResultSource

WHAT = "Result 'a.root' of request R"
COLUMNS = {
    "x": np.arange(4.0),
    "n": np.arange(4, dtype=np.int32),
    "v": ak.Array([[1.5], [], [2.5, 3.5], []]),
}
FORM = as_form("{x: float64, n: int32, v: var * float64}")


@pytest.fixture
def one(tmp_path: Path, write_file: Callable[..., Path]) -> Path:
    return write_file(tmp_path / "one.root", events=COLUMNS)


@pytest.fixture
def two(tmp_path: Path, write_file: Callable[..., Path]) -> Path:
    return write_file(tmp_path / "two.root", events=COLUMNS, other={"y": np.arange(2.0)})


def result(path: Path, events: int = 1, kind: str = "root-file") -> ResultSource:
    """Take a file for a result on a volume."""
    now = datetime.now(UTC)
    file = ResultFile(1, now, "a.root", "a", events, path.stat().st_size, kind)
    return ResultSource(file, lambda _: Location("", path=str(path)), WHAT)


def read_array(
    path: Path,
    form: RecordForm,
    columns: frozenset[str] | None = None,
    tree: str | None = None,
    events: int = 1,
    kind: str = "root-file",
) -> ak.Array:
    return ak.Array(read(result(path, events, kind), form, columns, tree))


def form_in(path: Path, tree: str | None = None) -> RecordForm:
    return read_form(result(path), tree)


def test_reads_all_or_some_columns_in_the_order_of_the_form(one: Path):
    assert read_array(one, FORM).to_list() == ak.Array(COLUMNS).to_list()
    some = read_array(one, FORM, frozenset({"v", "x"}))
    assert some.fields == ["x", "v"]
    assert some.v.to_list() == COLUMNS["v"].to_list()


def test_reads_the_number_of_events_where_no_column_is_wanted(one: Path):
    array = read_array(one, FORM, frozenset())
    assert (len(array), array.fields) == (4, [])


def test_tree_by_name_or_the_only_one(one: Path, two: Path):
    for path, tree in [(one, None), (one, "events"), (two, "events")]:
        assert read_array(path, FORM, tree=tree).x.to_list() == [0, 1, 2, 3]
    assert read_array(two, as_form("{y: float64}"), tree="other").y.to_list() == [0, 1]


def test_several_trees_are_listed(two: Path):
    for call in (lambda: read_array(two, FORM), lambda: form_in(two)):
        with pytest.raises(AmbiguousTreeError, match=r"events.*other") as caught:
            call()
        assert WHAT in str(caught.value)


def test_missing_tree_lists_those_there_are(two: Path):
    with pytest.raises(TreeNotFoundError, match=r"no tree 'nope'.*events.*other") as caught:
        read_array(two, FORM, tree="nope")
    assert WHAT in str(caught.value)


def test_file_without_any_tree(tmp_path: Path):
    with uproot.recreate(tmp_path / "none.root") as file:
        file["h"] = np.histogram([1.0, 2.0])
    path = tmp_path / "none.root"
    for tree in (None, "events"):
        with pytest.raises(TreeNotFoundError, match="no tree at all"):
            read_array(path, FORM, tree=tree)


def test_a_mistyped_tree_is_no_result_without_events(two: Path, tmp_path: Path):
    # 0 is also what a transformer says that has not counted.
    with pytest.raises(TreeNotFoundError, match="no tree 'nope'"):
        read_array(two, FORM, tree="nope", events=0)
    with uproot.recreate(tmp_path / "none.root") as file:
        file.mktree("other", {"x": np.array([], float)})
    assert len(read_array(tmp_path / "none.root", FORM, tree="events", events=0)) == 0


def test_histogram_beside_the_tree_is_no_choice(tmp_path: Path):
    with uproot.recreate(tmp_path / "both.root") as file:
        file.mktree("events", COLUMNS)
        file["h"] = np.histogram([1.0, 2.0])
    assert len(read_array(tmp_path / "both.root", FORM)) == 4


def test_tree_in_a_directory(tmp_path: Path):
    with uproot.recreate(tmp_path / "deep.root") as file:
        file.mktree("reco/nominal", {"x": np.arange(3.0)})
    path = tmp_path / "deep.root"
    for tree in (None, "reco/nominal"):
        assert len(read_array(path, as_form("{x: float64}"), tree=tree)) == 3


def test_tree_of_no_events(tmp_path: Path):
    with uproot.recreate(tmp_path / "empty.root") as file:
        file.mktree("events", {"x": "float64", "v": "var * float64"})
    path = tmp_path / "empty.root"
    array = read_array(path, as_form("{x: float64, v: var * float64}"))
    assert len(array) == 0
    assert str(array.type) == "0 * {x: float64, v: var * float64}"


def test_form_of_a_file(one: Path):
    assert datashape_of(form_in(one)) == ("{x: float64, n: int32, nv: int32, v: var * float64}")


def test_form_given_wider_than_the_file(one: Path):
    array = read_array(one, as_form("{n: int64, x: ?float64}"))
    assert str(array.type) == "4 * {n: int64, x: ?float64}"
    assert array.n.to_list() == [0, 1, 2, 3]


def test_form_that_the_file_does_not_match(one: Path):
    with pytest.raises(SchemaMismatchError) as caught:
        read_array(one, as_form("{x: float32}"))
    assert all(word in str(caught.value) for word in (WHAT, "'x'", "float64", "float32"))


def test_column_that_is_not_in_the_file(one: Path):
    with pytest.raises(SchemaMismatchError) as caught:
        read_array(one, as_form("{x: float64, pt: float32}"))
    assert all(word in str(caught.value) for word in (WHAT, "'pt'", "x, n, nv, v"))


@pytest.mark.parametrize("body", [b"", b"x", b"PAR1" * 100, b"<html>not found</html>", b"root"])
@pytest.mark.parametrize("kind", ["root-file", "root-rntuple", "parquet"])
def test_bytes_of_no_result(tmp_path: Path, body: bytes, kind: str):
    path = tmp_path / "a.root"
    path.write_bytes(body)
    calls = [
        lambda: read_array(path, FORM, kind=kind),
        lambda: read_form(result(path, kind=kind), None),
    ]
    for call in calls:
        with pytest.raises(CorruptResultError) as caught:
            call()
        assert WHAT in str(caught.value)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Two columns that do not compress, so that all of the file is needed."""
    values = np.random.default_rng(1).random(20_000)
    with uproot.recreate(tmp_path / "large.root") as file:
        file.mktree("events", {"good": values, "bad": values})
    return tmp_path / "large.root"


@pytest.mark.parametrize("part", [0.0001, 0.001, 0.01, 0.1, 0.5, 0.9])
def test_file_cut_short(large: Path, part: float):
    os.truncate(large, int(part * large.stat().st_size))
    with pytest.raises(CorruptResultError) as caught:
        read_array(large, as_form("{good: float64, bad: float64}"))
    assert WHAT in str(caught.value)


def test_corrupt_branch_is_met_only_by_who_reads_it(large: Path, spoil: Callable[..., bytes]):
    large.write_bytes(spoil(large.read_bytes(), "events", "bad"))
    form = as_form("{good: float64, bad: float64}")
    assert len(read_array(large, form, frozenset({"good"}))) == 20_000
    with pytest.raises(CorruptResultError) as caught:
        read_array(large, form, frozenset({"bad"}))
    assert WHAT in str(caught.value)


def test_file_that_is_not_there(one: Path):
    source = result(one)
    one.unlink()
    with pytest.raises(MissingObjectError, match=WHAT):
        read(source, FORM, None, None)
