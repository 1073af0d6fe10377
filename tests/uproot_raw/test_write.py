"""Results in each format, as a client gets them, equal what Uproot reads from the input."""

from __future__ import annotations

import io

import awkward as ak
import httpx
import numpy as np
import pyarrow.parquet as pq
import pytest
import uproot

from servicex_layer.errors import InvalidArgumentError
from servicex_layer.local import LocalServiceX
from servicex_layer.uproot_raw._write import write_root_file

TRANSFORMATION = "/servicex/transformation"
ROOT_FORMATS = ["root-file", "root-rntuple"]
FORMATS = [*ROOT_FORMATS, "parquet"]

COLUMNS = {
    "flat": np.arange(5, dtype=np.float32),
    "small": np.arange(5, dtype=np.int8),
    "natural": np.arange(5, dtype=np.uint64),
    "boolean": np.array([True, False, True, True, False]),
    "jagged": ak.Array([[1.5, 2.5], [], [3.5], [4.5, 5.5, 6.5], []]),
    "booleans": ak.Array([[True, False], [], [True], [False] * 3, []]),
    "string": ak.Array(["a", "", "µµ", "dd", "eee"]),
    "fixed": np.arange(15.0).reshape(5, 3),
    "matrix": np.arange(30).reshape(5, 3, 2),
    "dotted.name": np.arange(5),
}
DEEP = {
    "flat": np.arange(3),
    "jagged of jagged": ak.Array([[[1.5, 2.5], []], [], [[3.5]]]),
    "strings": ak.Array([["a", ""], [], ["µµ"]]),
    "records": ak.Array([[{"pt": 1.5, "n": 1}], [], [{"pt": 2.5, "n": 2}]]),
}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("inputs")


@pytest.fixture(scope="module")
def source(directory):
    path = directory / "a:b%.root"
    with uproot.recreate(path) as file:
        file.mktree("events", COLUMNS)
        file.mktree("more", {name: column[:2] for name, column in COLUMNS.items()})
        file.mktree("other", {"y": np.arange(3)})
        file.mktree("named", {"treename": np.arange(3)})
    return path


@pytest.fixture(scope="module")
def deep(directory):
    """Columns that Uproot can write only to an RNTuple."""
    path = directory / "deep.root"
    with uproot.recreate(path) as file:
        file.mkrntuple("events", DEEP)
    return path


@pytest.fixture(scope="module")
def service():
    with LocalServiceX(parallelism=1) as service:
        yield service


@pytest.fixture(scope="module")
def client(service):
    with httpx.Client(base_url=service.url, trust_env=False) as client:
        yield client


@pytest.fixture
def transform(service, client):
    """Have one file transformed; return its row, and its result as the store sends it."""

    def transform(path, result_format, **query):
        request_id = service.submit([path], result_format=result_format, manual=True, **query)
        service.release(request_id, 0)
        status = client.get(f"{TRANSFORMATION}/{request_id}").json()
        assert status["status"] == "Complete"
        assert status["result-format"] == result_format
        (row,) = client.get(f"{TRANSFORMATION}/{request_id}/results").json()["results"]
        name = row["s3-object-name"]
        body = {"request_id": request_id, "file_list": [name]}
        url, _, _ = client.post(f"{TRANSFORMATION}/file-urls", json=body).json()["uris"][name]
        return row, client.get(url).content

    return transform


@pytest.fixture
def result(transform):
    """The trees of a result file."""

    def result(path, result_format, **query):
        row, content = transform(path, result_format, **query)
        assert row["transform_status"] == "success"
        assert row["total-bytes"] == len(content)
        if result_format == "parquet":
            table = pq.read_table(io.BytesIO(content))
            assert row["total-events"] == table.num_rows
            return ak.from_arrow(table)
        classname = {"root-file": "TTree", "root-rntuple": "ROOT::RNTuple"}[result_format]
        with uproot.open(io.BytesIO(content)) as file:
            names = file.keys(cycle=False, filter_classname=lambda name: name != "TDirectory")
            assert {file.classnames(cycle=False)[name] for name in names} <= {classname}
            trees = {name: file[name].arrays() for name in names}
        assert row["total-events"] == sum(map(len, trees.values()))
        return trees

    return result


def read(path, tree="events", **arguments):
    with uproot.open({path: None}) as file:
        return file[tree].arrays(**arguments)


def only(trees):
    if isinstance(trees, ak.Array):
        return trees
    (tree,) = trees.values()
    return tree


def assert_same(events, expected):
    assert sorted(events.fields) == sorted(expected.fields)
    for name in expected.fields:
        assert events[name].type == expected[name].type
        assert events[name].tolist() == expected[name].tolist()


@pytest.mark.parametrize("result_format", FORMATS)
@pytest.mark.parametrize("cut", [None, "flat > 1", "flat > 100"], ids=["all", "some", "none"])
def test_every_type_is_carried_over(result, source, result_format, cut):
    events = only(result(source, result_format, tree="events", cut=cut))
    assert_same(events, read(source, cut=cut))


@pytest.mark.parametrize("result_format", FORMATS)
def test_only_chosen_columns_are_written(result, source, result_format):
    columns = ["jagged", "string"]
    events = only(result(source, result_format, tree="events", columns=columns))
    assert_same(events[columns], read(source)[columns])
    assert set(events.fields) <= {*columns, "njagged"}


@pytest.mark.parametrize("result_format", FORMATS[1:])
def test_types_that_a_ttree_cannot_hold_are_carried_over(result, deep, result_format):
    assert_same(only(result(deep, result_format, tree="events")), read(deep))


@pytest.mark.parametrize("column", ["jagged of jagged", "strings"])
def test_type_that_cannot_be_written_fails_the_file(transform, deep, column):
    row, _ = transform(deep, "root-file", tree="events", columns=[column])
    assert row["transform_status"] == "failure"
    assert row["s3-object-name"] == "none"


def test_type_that_uproot_would_write_wrongly_is_an_error(tmp_path):
    column = ak.from_regular(ak.Array(np.zeros((2, 3, 2))), axis=1)
    with pytest.raises(InvalidArgumentError, match=r"'x'.*'t'.*var \* 2 \* float64.*parquet"):
        write_root_file(tmp_path / "out", {"t": ak.Array({"x": column})})


@pytest.mark.parametrize("result_format", ROOT_FORMATS)
def test_several_trees_are_written(result, source, result_format):
    tree = {"events": "e", "other": "dir/o"}
    trees = result(source, result_format, tree=tree)
    assert sorted(trees) == ["dir/o", "e"]
    assert_same(trees["e"], read(source))
    assert_same(trees["dir/o"], read(source, "other"))


@pytest.mark.parametrize("cut", [None, "flat > 100"], ids=["all", "none"])
def test_several_trees_are_one_table_in_parquet(result, source, cut):
    tree = {"more": "m", "events": "e"}
    table = result(source, "parquet", tree=tree, cut=cut)
    assert table.treename.type.content == ak.types.ListType(
        ak.types.NumpyType("uint8", parameters={"__array__": "char"}),
        parameters={"__array__": "string"},
    )
    for name, output in tree.items():
        part = ak.without_field(table[table.treename == output], "treename")
        assert_same(part, read(source, name, cut=cut))


def test_query_of_several_trees_always_has_their_names(result, source):
    entry = {"treename": ["events", "nope"], "fail_on_missing_trees": False}
    table = result(source, "parquet", selection=[entry])
    assert set(table.treename.tolist()) == {"events"}


@pytest.mark.parametrize("tree", [["events", "other"], ["named", "events"]])
def test_trees_with_different_columns_fail_the_file_in_parquet(transform, source, tree):
    row, _ = transform(source, "parquet", tree=tree)
    assert row["transform_status"] == "failure"


@pytest.mark.parametrize("result_format", FORMATS)
def test_result_may_have_no_tree(result, source, result_format):
    entry = {"treename": "nope", "fail_on_missing_trees": False}
    trees = result(source, result_format, selection=[entry])
    assert len(trees) == 0
    if result_format == "parquet":
        assert trees.fields == []


@pytest.mark.parametrize("result_format", FORMATS)
@pytest.mark.parametrize(
    ("name", "tree"),
    [
        ("uproot-HZZ.root", "events"),
        ("uproot-Zmumu.root", "events"),
        ("Run2012BC_DoubleMuParked_Muons_1000evts_rntuple_v1-0-0-0.root", "Events"),
    ],
)
def test_real_files_are_carried_over(result, data, result_format, name, tree):
    path = data.absolute() / name
    columns = [column for column in read(path, tree).fields if not column.startswith("_")]
    events = only(result(path, result_format, tree=tree, columns=columns))
    assert_same(events[columns], read(path, tree)[columns])
