"""Whatever tells the form: what is computed is of the type that was told before."""

from __future__ import annotations

import glob
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import awkward as ak
import hypothesis.strategies as st
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot
from awkward.forms import RecordForm
from hypothesis import Phase, given, settings
from strategies import BRANCH_NAMES, anything, in_ttree  # type: ignore[import-not-found]

from servicex_layer import from_servicex
from servicex_layer._model import Location, ResultFile
from servicex_layer.errors import SchemaMismatchError
from servicex_layer.forms import as_form, datashape, from_sample, given_form
from servicex_layer.reading._read import read
from servicex_layer.transport._result import ResultSource
from servicex_layer.uproot_raw._run import run_query

# To explain a failure, Hypothesis traces all of Uproot and Awkward: that takes minutes.
often = settings(max_examples=25, deadline=None, phases=set(Phase) - {Phase.explain})
FORMATS = ["root-file", "root-rntuple", "parquet"]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("forms")


def computed(path: Path, kind: str, form: RecordForm) -> ak.Array:
    file = ResultFile(1, datetime.now(UTC), "a", "a", 1, path.stat().st_size, kind)
    source = ResultSource(file, lambda _: Location("", path=str(path)), "Result 'a' of request R")
    return ak.Array(read(source, form, None, None))


def ways(result: Path) -> Iterator[Any]:
    """Give all that tells the form of a file that is like the results."""
    form = from_sample(result)
    yield form
    yield datashape(result)
    yield str(result)
    yield {name: form.content(name).type for name in form.fields}


def assert_true(result: Path, kind: str, *forms: Any) -> None:
    """Check that a file is read as each form has told, and that this is what is in the file."""
    expected = computed(result, kind, from_sample(result))
    for form in forms:
        told = given_form(form)(kind)
        found = computed(result, kind, told)
        assert str(found.type) == f"{len(found)} * {told.type}"
        assert ak.array_equal(found, expected, equal_nan=True)


# Generated files


@often
@given(st.data())
@pytest.mark.parametrize("kind", FORMATS)
def test_results_of_queries(directory: Path, kind: str, data: st.DataObject):
    length = data.draw(st.integers(0, 20))
    # RNTuple allows no slash in the name of a field.
    pool = [name for name in BRANCH_NAMES if kind != "root-rntuple" or "/" not in name]
    names = data.draw(st.lists(st.sampled_from(pool), min_size=1, max_size=5, unique=True))
    source, result = directory / "source.root", directory / "result"
    with uproot.recreate(source) as file:
        file.mktree("events", {name: data.draw(in_ttree(length)) for name in names})
    query: list[dict[str, Any]] = [{"treename": {"events": "selected"}}]
    if data.draw(st.booleans()):
        query[0]["filter_name"] = glob.escape(names[0])
    run_query(str(source), json.dumps(query), result, kind)
    assert_true(result, kind, *ways(result), (query, source))


@often
@given(st.data())
def test_rntuples_of_any_type(directory: Path, data: st.DataObject):
    result = directory / "rntuple"
    length = data.draw(st.integers(1, 20))
    names = data.draw(st.lists(st.sampled_from(["x", "Jet", "n"]), min_size=1, unique=True))
    with uproot.recreate(result) as file:
        file.mkrntuple("events", ak.Array({name: data.draw(anything(length)) for name in names}))
    assert_true(result, "root-rntuple", *ways(result))


@often
@given(st.data())
def test_parquet_of_any_type(directory: Path, data: st.DataObject):
    result = directory / "parquet"
    length = data.draw(st.integers(1, 20))
    names = data.draw(st.lists(st.sampled_from(["x", "Jet", "a b"]), min_size=1, unique=True))
    columns = {name: data.draw(anything(length, null=True)) for name in names}
    extended = data.draw(st.booleans())
    if data.draw(st.booleans()):
        # Awkward cannot read its own extension type of categories where some are null.
        pool = ["a", "b"] if extended else ["a", "b", None]
        words = data.draw(st.lists(st.sampled_from(pool), min_size=length, max_size=length))
        columns["word"] = ak.str.to_categorical(ak.Array([*words, "c"]))[:-1]
    table = ak.to_arrow_table(ak.Array(columns), extensionarray=extended)
    pq.write_table(table, result)
    assert_true(result, "parquet", *ways(result))


ARROW = {
    "binary": pa.array([b"a", None, b"\0c"]),
    "fixed-size binary": pa.array([b"abc", b"def", b"ghi"], pa.binary(3)),
    "large string": pa.array(["a", None, "c"], pa.large_string()),
    "timestamp": pa.array([1, None, 3], pa.timestamp("ns", tz="UTC")),
    "duration": pa.array([1, 2, 3], pa.duration("us")),
    "date": pa.array([1, 2, None], pa.date32()),
    "fixed-size list": pa.array([[1, 2], None, [5, 6]], pa.list_(pa.int32(), 2)),
    "large list": pa.array([[1], [], None], pa.large_list(pa.uint8())),
    "list of lists": pa.array([[[1], None], None, []]),
    "list of records": pa.array([[{"a": 1, "b": None}], [], None]),
    "record": pa.array([{"a": 1, "b": [1.5]}, None, {"a": None, "b": None}]),
    "categories": pa.array(["a", None, "a"]).dictionary_encode(),
    "nothing": pa.nulls(3),
}


@pytest.mark.parametrize("name", ARROW)
def test_parquet_of_arrows_own_types(tmp_path: Path, name: str):
    pq.write_table(pa.table({"c": ARROW[name], "x": [1, 2, 3]}), tmp_path / "a")
    assert_true(tmp_path / "a", "parquet", *ways(tmp_path / "a"))


def test_parquet_of_half_precision(tmp_path: Path):
    """A datashape cannot say it."""
    halves = pa.array(
        [[{"h": 1.5}, {"h": None}], [], None], pa.list_(pa.struct({"h": pa.float16()}))
    )
    pq.write_table(pa.table({"c": halves}), tmp_path / "a")
    form = as_form(datashape(tmp_path / "a"))
    assert str(form.type) == "{c: option[var * ?{h: ?float32}]}"
    found = computed(tmp_path / "a", "parquet", form)
    assert str(found.type) == f"3 * {form.type}"
    assert found.c.to_list() == halves.to_pylist()
    assert_true(tmp_path / "a", "parquet", tmp_path / "a")


# Real files, all the way


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    ("name", "tree", "query"),
    [
        ("uproot-HZZ.root", "events", {"filter_name": ["MET*", "NJet", "Jet_P*"], "cut": "NJet>2"}),
        ("uproot-HZZ.root", "events", {"filter_typename": "*bool*"}),
        ("uproot-Zmumu.root", "events", {}),
        (
            "uproot-Zmumu.root",
            "events",
            {"aliases": {"square": "px1**2 + py1**2"}, "expressions": ["sqrt(square)", "Type"]},
        ),
        (
            "0fc6e51a5ea6dea107c195591d20a1b2-15.26710677._000019.pool.root.1",
            "treeme",
            {"expressions": ["JetPt > 100", "JetPt"]},
        ),
    ],
)
def test_real_files(
    data: Path,
    finished: Callable[..., str],
    stored: Callable[..., Path],
    name: str,
    tree: str,
    query: dict[str, Any],
    kind: str,
):
    whole = [{"treename": tree, **query}]
    request_id = finished([data / name], None, selection=whole, result_format=kind)
    result = stored(request_id, 0)
    events = from_servicex(request_id).compute()
    for form in (*ways(result), (whole, data / name), (json.dumps(whole), str(data / name))):
        lazy = from_servicex(request_id, form=form)
        assert str(lazy._meta.type) == f"## * {events.type.content}"
        found = lazy.compute()
        assert found.type == events.type
        assert ak.array_equal(found, events)


def test_real_rntuple(data: Path, finished: Callable[..., str]):
    path = data / "Run2012BC_DoubleMuParked_Muons_1000evts_rntuple_v1-0-0-0.root"
    assert_true(path, "root-rntuple", *ways(path))


# Checked, not trusted


@pytest.mark.parametrize("kind", FORMATS)
def test_column_in_no_file_is_an_error_where_it_is_needed(
    finished: Callable[..., str], inputs: list[Path], kind: str
):
    events = from_servicex(finished(inputs, result_format=kind), form="{x: float64, w: int32}")
    assert len(events.x.compute()) == 40
    with pytest.raises(SchemaMismatchError, match=r"'w' is in the form but not in .* of request"):
        events.w.partitions[0].compute()


@pytest.mark.parametrize("kind", FORMATS)
def test_mismatch_says_what_to_write(
    finished: Callable[..., str], inputs: list[Path], kind: str, stored: Callable[..., Path]
):
    request_id = finished(inputs[:1], result_format=kind)
    events = from_servicex(request_id, form="{x: float64, n: int64, v: var * float32}")
    assert str(events[["x", "n"]].compute().type) == "10 * {x: float64, n: int64}"
    with pytest.raises(SchemaMismatchError) as caught:
        events.v.compute()
    message = str(caught.value)
    for word in (request_id, "input-0", "'v'", "var * float64, but", "says var * float32"):
        assert word in message
    line = message.rpartition("Say form=")[2].rstrip(".")
    assert line == "'{x: float64, n: int64, v: var * float64}'"
    found = from_servicex(request_id, form=line.strip("'")).compute()
    assert str(found.type) == f"10 * {as_form(line.strip(chr(39))).type}"
