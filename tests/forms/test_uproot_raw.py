from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
from servicex import query as servicex_query

from servicex_layer import from_servicex
from servicex_layer.errors import AmbiguousTreeError, FormError, TreeNotFoundError
from servicex_layer.forms import from_uproot_raw

EVENTS = {"treename": "events"}


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("raw") / "sample.root"
    with uproot.recreate(path) as file:
        columns = {
            "x": np.arange(3.0, dtype=np.float32),
            "n": np.arange(3, dtype=np.int16),
            "Jet_pt": ak.Array([[1.5], [], [2.5, 3.5]]),
            "Jet_eta": ak.Array([[0.5], [], [1.5, 2.5]]),
            "label": ["a", "b", "c"],
        }
        file.mktree("events", columns)
        file.mktree("more", {"x": np.arange(3)})
    return path


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"filter_name": "Jet_pt"}, "{Jet_pt: var * float64}"),
        ({"filter_name": ["Jet_pt", "n"], "cut": "x > 100"}, "{n: int16, Jet_pt: var * float64}"),
        ({"filter_typename": "float"}, "{x: float32}"),
        ({"expressions": ["x > 1", "label"]}, '{"x > 1": bool, label: string}'),
        ({"expressions": "r", "aliases": {"r": "x / n"}}, "{r: float32}"),
        ({"expressions": ["Jet_pt * x"], "cut": "n < 0"}, '{"Jet_pt * x": var * float64}'),
    ],
)
def test_form_of_a_query(sample: Path, query: dict[str, Any], expected: str):
    whole = [{**EVENTS, **query}]
    parquet = from_uproot_raw(whole, sample, result_format="parquet")
    assert str(parquet.type) == expected
    # Uproot writes a counter before each jagged branch.
    jagged = [name for name in parquet.fields if parquet.content(name).is_list and name != "label"]
    tree = from_uproot_raw(whole, sample)
    assert set(tree.fields) == {*parquet.fields, *(f"n{name}" for name in jagged)}
    assert all(str(tree.content(f"n{name}").type) == "int32" for name in jagged)


def test_spellings_of_a_query(sample: Path):
    client = servicex_query.UprootRaw([{**EVENTS, "filter_name": "Jet_pt"}])
    plain = [{**EVENTS, "filter_name": "Jet_pt"}]
    histograms = servicex_query.UprootRaw([*client.query, {"copy_histograms": "h"}])
    for query in (
        client,
        histograms,
        client.generate_selection_string(),
        plain,
        plain[0],
        json.dumps(plain),
    ):
        form = from_uproot_raw(query, str(sample), result_format="root-rntuple")
        assert str(form.type) == "{Jet_pt: var * float64}"


def test_query_of_several_trees(sample: Path):
    query = [{"treename": ["events", "more"], "filter_name": "x"}]
    assert str(from_uproot_raw(query, sample, "events").type) == "{x: float32}"
    assert str(from_uproot_raw(query, sample, "more").type) == "{x: int64}"
    with pytest.raises(AmbiguousTreeError, match="several trees: events, more"):
        from_uproot_raw(query, sample)
    with pytest.raises(TreeNotFoundError, match="no tree 'less'"):
        from_uproot_raw(query, sample, "less")
    nothing = [{"treename": {"events": "one", "more": "two"}, "filter_name": "nothing"}]
    with pytest.raises(FormError, match="selects no branch of the tree 'events'"):
        from_uproot_raw(nothing, sample)


def test_parquet_of_several_trees_has_their_names(tmp_path: Path):
    with uproot.recreate(tmp_path / "a.root") as file:
        for name in ("one", "two"):
            file.mktree(name, {"x": np.arange(3.0)})
    query = [{"treename": ["one", "two"]}]
    form = from_uproot_raw(query, tmp_path / "a.root", result_format="parquet")
    assert str(form.type) == "{x: float64, treename: string}"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (5, "5 is not a valid uproot-raw query"),
        ([], "not a valid uproot-raw query: .* at least one object"),
        ("[", "not a valid uproot-raw query: Expecting value"),
        ([{"copy_histograms": "h"}], "not a valid uproot-raw query: .* at least one object"),
        ([5], "not a valid uproot-raw query"),
        ([{"treename": "events", "quux": 1}], "not a valid uproot-raw query: .*'quux'"),
        (
            [{"treename": "events", "cut": np.float64}],
            "not a valid uproot-raw query: .*JSON serializable",
        ),
        ([{"treename": "nowhere"}], "cannot be run on the sample '.*sample.root': .*nowhere"),
        ([{**EVENTS, "expressions": "quux"}], "cannot be run on the sample .*quux"),
        ([{**EVENTS, "cut": "x >"}], "cannot be run on the sample .*SyntaxError"),
    ],
)
def test_query_that_cannot_be_run_is_an_error(sample: Path, query: Any, words: str):
    with pytest.raises(FormError, match=words):
        from_uproot_raw(query, sample)


def test_missing_sample_is_an_error(tmp_path: Path):
    with pytest.raises(
        FormError, match=r"sample '.*nowhere\.root' to run the query on does not exist"
    ):
        from_uproot_raw([EVENTS], tmp_path / "nowhere.root")


@pytest.mark.dask_awkward
@pytest.mark.parametrize("result_format", ["root-file", "root-rntuple", "parquet"])
def test_form_is_that_of_the_requests_format(
    finished: Callable[..., str], inputs: list[Path], result_format: str
):
    query = servicex_query.UprootRaw([{**EVENTS, "filter_name": ["v", "x"], "cut": "x > 105"}])
    selection = query.generate_selection_string()
    request_id = finished(inputs, None, selection=selection, result_format=result_format)
    events = from_servicex(request_id, form=(query, inputs[0]))
    assert ("nv" in events.fields) == (result_format == "root-file")
    computed = events.compute()
    assert computed.type == from_servicex(request_id).compute().type
    assert len(computed) == 24
