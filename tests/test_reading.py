from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
from awkward.forms import RecordForm

from servicex_layer.errors import (
    AmbiguousTreeError,
    CorruptResultError,
    MissingObjectError,
    SchemaMismatchError,
    TreeNotFoundError,
)
from servicex_layer.forms import as_form, datashape_of
from servicex_layer.model import Location
from servicex_layer.reading import ExpiredLocationError, fetch, form_of, read

WHAT = "Result 'a.root' of request R"
COLUMNS = {
    "x": np.arange(4.0),
    "n": np.arange(4, dtype=np.int32),
    "v": ak.Array([[1.5], [], [2.5, 3.5], []]),
}
FORM = as_form("{x: float64, n: int32, v: var * float64}")


@pytest.fixture
def one(tmp_path: Path, write_file: Callable[..., Path]) -> bytes:
    return write_file(tmp_path / "one.root", events=COLUMNS).read_bytes()


@pytest.fixture
def two(tmp_path: Path, write_file: Callable[..., Path]) -> bytes:
    path = write_file(tmp_path / "two.root", events=COLUMNS, other={"y": np.arange(2.0)})
    return path.read_bytes()


def read_array(
    body: bytes, form: RecordForm, columns: tuple[str, ...] | None = None, tree: str | None = None
) -> ak.Array:
    return ak.Array(read(body, form, columns or tuple(form.fields), tree, WHAT))


def test_reads_all_or_some_columns_in_the_order_asked_for(one: bytes):
    assert read_array(one, FORM).to_list() == ak.Array(COLUMNS).to_list()
    some = read_array(one, FORM, ("v", "x"))
    assert some.fields == ["v", "x"]
    assert some.v.to_list() == COLUMNS["v"].to_list()


def test_reads_the_number_of_events_where_no_column_is_wanted(one: bytes):
    array = ak.Array(read(one, FORM, (), None, WHAT))
    assert (len(array), array.fields) == (4, [])


def test_tree_by_name_or_the_only_one(one: bytes, two: bytes):
    for body, tree in [(one, None), (one, "events"), (two, "events")]:
        assert read_array(body, FORM, tree=tree).x.to_list() == [0, 1, 2, 3]
    assert read_array(two, as_form("{y: float64}"), tree="other").y.to_list() == [0, 1]


def test_several_trees_are_listed(two: bytes):
    for call in (lambda: read_array(two, FORM), lambda: form_of(two, None, WHAT)):
        with pytest.raises(AmbiguousTreeError, match=r"events.*other") as caught:
            call()
        assert WHAT in str(caught.value)


def test_missing_tree_lists_those_there_are(two: bytes):
    with pytest.raises(TreeNotFoundError, match=r"no tree 'nope'.*events.*other") as caught:
        read_array(two, FORM, tree="nope")
    assert WHAT in str(caught.value)


def test_file_without_any_tree(tmp_path: Path):
    with uproot.recreate(tmp_path / "none.root") as file:
        file["h"] = np.histogram([1.0, 2.0])
    body = (tmp_path / "none.root").read_bytes()
    for tree in (None, "events"):
        with pytest.raises(TreeNotFoundError, match="no tree at all"):
            read_array(body, FORM, tree=tree)


def test_histogram_beside_the_tree_is_no_choice(tmp_path: Path):
    with uproot.recreate(tmp_path / "both.root") as file:
        file.mktree("events", COLUMNS)
        file["h"] = np.histogram([1.0, 2.0])
    assert len(read_array((tmp_path / "both.root").read_bytes(), FORM)) == 4


def test_tree_in_a_directory(tmp_path: Path):
    with uproot.recreate(tmp_path / "deep.root") as file:
        file.mktree("reco/nominal", {"x": np.arange(3.0)})
    body = (tmp_path / "deep.root").read_bytes()
    for tree in (None, "reco/nominal"):
        assert len(read_array(body, as_form("{x: float64}"), tree=tree)) == 3


def test_tree_of_no_events(tmp_path: Path):
    with uproot.recreate(tmp_path / "empty.root") as file:
        file.mktree("events", {"x": "float64", "v": "var * float64"})
    body = (tmp_path / "empty.root").read_bytes()
    array = read_array(body, as_form("{x: float64, v: var * float64}"))
    assert len(array) == 0
    assert str(array.type) == "0 * {x: float64, v: var * float64}"


def test_form_of_a_file(one: bytes):
    assert datashape_of(form_of(one, None, WHAT)) == (
        "{x: float64, n: int32, nv: int32, v: var * float64}"
    )


def test_form_given_wider_than_the_file(one: bytes):
    array = read_array(one, as_form("{n: int64, x: ?float64}"))
    assert str(array.type) == "4 * {n: int64, x: ?float64}"
    assert array.n.to_list() == [0, 1, 2, 3]


def test_form_that_the_file_does_not_match(one: bytes):
    with pytest.raises(SchemaMismatchError) as caught:
        read_array(one, as_form("{x: float32}"))
    assert all(word in str(caught.value) for word in (WHAT, "'x'", "float64", "float32"))


def test_column_that_is_not_in_the_file(one: bytes):
    with pytest.raises(SchemaMismatchError) as caught:
        read_array(one, as_form("{x: float64, pt: float32}"))
    assert all(word in str(caught.value) for word in (WHAT, "'pt'", "x, n, nv, v"))


@pytest.mark.parametrize("body", [b"", b"x", b"PAR1" * 100, b"<html>not found</html>", b"root"])
def test_bytes_of_no_root_file(body: bytes):
    for call in (lambda: read_array(body, FORM), lambda: form_of(body, None, WHAT)):
        with pytest.raises(CorruptResultError) as caught:
            call()
        assert WHAT in str(caught.value)


@pytest.fixture
def large(tmp_path: Path) -> bytes:
    """Two columns that do not compress, so that all of the file is needed."""
    values = np.random.default_rng(1).random(20_000)
    with uproot.recreate(tmp_path / "large.root") as file:
        file.mktree("events", {"good": values, "bad": values})
    return (tmp_path / "large.root").read_bytes()


@pytest.mark.parametrize("part", [0.0001, 0.001, 0.01, 0.1, 0.5, 0.9])
def test_file_cut_short(large: bytes, part: float):
    with pytest.raises(CorruptResultError) as caught:
        read_array(large[: int(part * len(large))], as_form("{good: float64, bad: float64}"))
    assert WHAT in str(caught.value)


def test_corrupt_branch_is_met_only_by_who_reads_it(large: bytes, spoil: Callable[..., bytes]):
    body = spoil(large, "events", "bad")
    form = as_form("{good: float64, bad: float64}")
    assert len(read_array(body, form, ("good",))) == 20_000
    with pytest.raises(CorruptResultError) as caught:
        read_array(body, form, ("bad",))
    assert WHAT in str(caught.value)


def test_real_files(data: Path):
    body = (data / "uproot-HZZ.root").read_bytes()
    form = form_of(body, None, WHAT)
    array = read_array(body, form, ("Jet_Px", "NJet"))
    assert len(array) == 2421
    assert ak.all(ak.num(array.Jet_Px) == array.NJet)
    body = (data / "uproot-Zmumu.root").read_bytes()
    form = form_of(body, "events", WHAT)
    types = read_array(body, form, ("Type",)).Type
    assert len(types) == 2304
    assert isinstance(types[0], str)


def at(url: str) -> Location:
    return Location(url + "/results/a.root?signature=secret", {"x-key": "secret"})


def test_fetch_gives_the_bytes(serve: Any):
    url = serve(lambda _method, _path: (200, b"bytes", {}))
    assert fetch(at(url), WHAT) == b"bytes"


@pytest.mark.parametrize("status", [401, 403])
def test_fetch_refused(serve: Any, status: int):
    url = serve(lambda _method, _path: (status, b"", {}))
    with pytest.raises(ExpiredLocationError, match=WHAT) as caught:
        fetch(at(url), WHAT)
    assert "secret" not in str(caught.value)


def test_fetch_of_what_is_not_there(serve: Any):
    url = serve(lambda _method, _path: (404, b"", {}))
    with pytest.raises(MissingObjectError, match=f"{WHAT}.*404") as caught:
        fetch(at(url), WHAT)
    assert "secret" not in str(caught.value)
