from __future__ import annotations

import json
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from servicex_layer.forms import from_uproot_raw
from servicex_layer.uproot_raw import expression_language, run_query


@pytest.fixture
def muons(tmp_path: Path) -> Path:
    with uproot.recreate(tmp_path / "muons.root") as file:
        pt = ak.Array([[25.0, 30.0], [10.0], [], [21.0, 22.0, 5.0]])
        file.mktree("Events", {"Muon_pt": pt, "event": np.arange(4)})
    return tmp_path / "muons.root"


def events_of(muons: Path, **entry: object) -> list[int]:
    result = muons.parent / "result.root"
    run_query(str(muons), json.dumps([{"treename": "Events", **entry}]), result)
    with uproot.open(result) as file:
        events: list[int] = file["Events"]["event"].array().tolist()
    return events


def test_functions_of_awkward_work_within_events(muons: Path):
    assert events_of(muons, cut="count_nonzero(Muon_pt>20)>=2") == [0, 3]
    assert events_of(muons, cut="any(Muon_pt>24)") == [0]
    assert events_of(muons, cut="num(Muon_pt)>1") == [0, 3]
    assert events_of(muons, cut="fill_none(max(Muon_pt)<24,False)") == [1, 3]


def test_axis_may_be_named_but_has_no_position(muons: Path):
    assert events_of(muons, cut="sum(Muon_pt, axis=-1)>50") == [0]
    with pytest.raises(TypeError, match="axis"):
        events_of(muons, cut="sum(Muon_pt, 1)>50")


def test_the_standard_axis_is_that_of_awkward(muons: Path):
    cut = "event<count_nonzero(event)-1"
    # By default the function works within events, of which each has only a number.
    with pytest.raises(ValueError, match="axis=1 exceeds"):
        events_of(muons, cut=cut)
    assert events_of(muons, cut=cut, use_standard_awkward_axis=True) == [0, 1]


def test_the_form_of_such_a_query_is_found(muons: Path):
    query = [{"treename": "Events", "cut": "count_nonzero(Muon_pt>20)>=2", "filter_name": "M*"}]
    assert "Muon_pt" in from_uproot_raw(query, muons).fields


def test_uproots_own_language_stays_as_it_is():
    expression_language()
    assert "count_nonzero" not in uproot.language.python.PythonLanguage.default_functions
