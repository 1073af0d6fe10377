"""Results have the type of the form, however it is spelled."""

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
from servicex_layer.forms import as_form, datashape, from_sample, parse_form
from servicex_layer.reading import read
from servicex_layer.transport import ResultSource
from servicex_layer.uproot_raw import run_query

# To explain a failure, Hypothesis traces all of Uproot and Awkward: that takes minutes.
often = settings(max_examples=25, deadline=None, phases=set(Phase) - {Phase.explain})
FORMATS = ["root-file", "root-rntuple", "parquet"]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("forms")


def read_all(path: Path, result_format: str, form: RecordForm) -> ak.Array:
    file = ResultFile(1, datetime.now(UTC), "a", "a", 1, path.stat().st_size, result_format)
    source = ResultSource(file, lambda _: Location("", path=str(path)), "Result 'a' of request R")
    return ak.Array(read(source, form, None, None))


def spellings(result: Path) -> Iterator[Any]:
    """Yield all spellings of the form of a file that is like the results."""
    form = from_sample(result)
    yield form
    yield datashape(result)
    yield str(result)
    yield {name: form.content(name).type for name in form.fields}


def check_forms(result: Path, result_format: str, *forms: Any) -> None:
    """Check that a file is read in each form, and that its values are right."""
    expected = read_all(result, result_format, from_sample(result))
    for form in forms:
        parsed = parse_form(form)(result_format)
        events = read_all(result, result_format, parsed)
        assert str(events.type) == f"{len(events)} * {parsed.type}"
        assert ak.array_equal(events, expected, equal_nan=True)


# Generated files


@often
@given(st.data())
@pytest.mark.parametrize("result_format", FORMATS)
def test_forms_of_queries(directory: Path, result_format: str, data: st.DataObject):
    length = data.draw(st.integers(0, 20))
    # RNTuple allows no slash in the name of a field.
    pool = [name for name in BRANCH_NAMES if result_format != "root-rntuple" or "/" not in name]
    names = data.draw(st.lists(st.sampled_from(pool), min_size=1, max_size=5, unique=True))
    source, result = directory / "source.root", directory / "result"
    with uproot.recreate(source) as file:
        file.mktree("events", {name: data.draw(in_ttree(length)) for name in names})
    query: list[dict[str, Any]] = [{"treename": {"events": "selected"}}]
    if data.draw(st.booleans()):
        query[0]["filter_name"] = glob.escape(names[0])
    run_query(str(source), json.dumps(query), result, result_format)
    check_forms(result, result_format, *spellings(result), (query, source))


@often
@given(st.data())
def test_rntuples_of_any_type(directory: Path, data: st.DataObject):
    result = directory / "rntuple"
    length = data.draw(st.integers(1, 20))
    names = data.draw(st.lists(st.sampled_from(["x", "Jet", "n"]), min_size=1, unique=True))
    with uproot.recreate(result) as file:
        file.mkrntuple("events", ak.Array({name: data.draw(anything(length)) for name in names}))
    check_forms(result, "root-rntuple", *spellings(result))


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
    check_forms(result, "parquet", *spellings(result))


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
    check_forms(tmp_path / "a", "parquet", *spellings(tmp_path / "a"))


def test_parquet_of_half_precision(tmp_path: Path):
    """Datashapes do not have it."""
    halves = pa.array(
        [[{"h": 1.5}, {"h": None}], [], None], pa.list_(pa.struct({"h": pa.float16()}))
    )
    pq.write_table(pa.table({"c": halves}), tmp_path / "a")
    form = as_form(datashape(tmp_path / "a"))
    assert str(form.type) == "{c: option[var * ?{h: ?float32}]}"
    events = read_all(tmp_path / "a", "parquet", form)
    assert str(events.type) == f"3 * {form.type}"
    assert events.c.to_list() == halves.to_pylist()
    check_forms(tmp_path / "a", "parquet", tmp_path / "a")


# Real files, end to end


@pytest.mark.dask_awkward
@pytest.mark.parametrize("result_format", FORMATS)
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
def test_forms_of_real_files(
    data: Path,
    finished: Callable[..., str],
    stored: Callable[..., Path],
    name: str,
    tree: str,
    query: dict[str, Any],
    result_format: str,
):
    whole = [{"treename": tree, **query}]
    request_id = finished([data / name], None, selection=whole, result_format=result_format)
    result = stored(request_id, 0)
    events = from_servicex(request_id).compute()
    for form in (*spellings(result), (whole, data / name), (json.dumps(whole), str(data / name))):
        lazy = from_servicex(request_id, form=form)
        assert str(lazy._meta.type) == f"## * {events.type.content}"
        computed = lazy.compute()
        assert computed.type == events.type
        assert ak.array_equal(computed, events)


def test_form_of_a_real_rntuple(data: Path, finished: Callable[..., str]):
    path = data / "Run2012BC_DoubleMuParked_Muons_1000evts_rntuple_v1-0-0-0.root"
    check_forms(path, "root-rntuple", *spellings(path))


# Checked, not trusted


@pytest.mark.dask_awkward
@pytest.mark.parametrize("result_format", FORMATS)
def test_missing_column_is_an_error_if_it_is_needed(
    finished: Callable[..., str], inputs: list[Path], result_format: str
):
    events = from_servicex(
        finished(inputs, result_format=result_format), form="{x: float64, w: int32}"
    )
    assert len(events.x.compute()) == 40
    with pytest.raises(SchemaMismatchError, match=r"'w' is in the form but not in .* of request"):
        events.w.partitions[0].compute()


@pytest.mark.dask_awkward
@pytest.mark.parametrize("result_format", FORMATS)
def test_mismatch_error_has_the_right_form(
    finished: Callable[..., str],
    inputs: list[Path],
    result_format: str,
    stored: Callable[..., Path],
):
    request_id = finished(inputs[:1], result_format=result_format)
    events = from_servicex(request_id, form="{x: float64, n: int64, v: var * float32}")
    assert str(events[["x", "n"]].compute().type) == "10 * {x: float64, n: int64}"
    with pytest.raises(SchemaMismatchError) as caught:
        events.v.compute()
    message = str(caught.value)
    for word in (request_id, "input-0", "'v'", "var * float64, but", "says var * float32"):
        assert word in message
    line = message.rpartition("Use form=")[2].rstrip(".")
    assert line == "'{x: float64, n: int64, v: var * float64}'"
    corrected = from_servicex(request_id, form=line.strip("'")).compute()
    assert str(corrected.type) == f"10 * {as_form(line.strip(chr(39))).type}"
