"""Columns, notes and errors of derived queries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import hist
import hist.dask
import numpy as np
import pytest
import uproot
from coffea.nanoevents import NanoAODSchema
from dask_awkward.lib.core import map_partitions
from dask_awkward.lib.io.io import from_awkward

import servicex_layer as sxl
from servicex_layer.errors import FormError, InvalidArgumentError
from servicex_layer.mapping._coffea import form_mapping

FORM = (
    "{MET: float32, phi: float64, HLT: bool, nMuon: uint32, weight: float64, "
    "Muon_pt: var * float32, Muon_eta: var * float32, Muon_q: var * int32, Jet_pt: var * float32}"
)

NANOAOD = (
    "{run: uint32, luminosityBlock: uint32, event: uint64, nMuon: uint32, "
    "Muon_pt: var * float32, Muon_eta: var * float32, Muon_phi: var * float32, "
    "Muon_mass: var * float32, Muon_charge: var * int32}"
)


def derive(analysis: Any, form: Any = FORM, **options: Any) -> sxl.DerivedQuery:
    return sxl.derive_query(analysis, form, "Events", **options)


def test_the_columns_are_those_that_the_analysis_touches():
    query = derive(lambda e: {"pt": e.Muon_pt[e.MET > 30], "eta": ak.flatten(e.Muon_eta)})
    assert query.columns == ("MET", "Muon_eta", "Muon_pt")


@pytest.mark.filterwarnings("ignore:Missing cross-reference")
def test_a_form_mapping_needs_the_counters_of_its_lists():
    mapping = form_mapping(NanoAODSchema, None)
    query = derive(lambda e: e.Muon.pt, NANOAOD, form_mapping=mapping)
    assert query.columns == ("Muon_pt", "nMuon")


@pytest.mark.filterwarnings("ignore:Missing cross-reference")
def test_masks_of_a_form_mapping_become_a_cut():
    mapping = form_mapping(NanoAODSchema, None)
    query = derive(
        lambda e: e.Muon[ak.num(e.Muon[e.Muon.pt > 20]) >= 2].eta, NANOAOD, form_mapping=mapping
    )
    assert query.cut == "(sum((get('Muon_pt') > 20.0), axis=1) >= 2)"


def test_the_number_of_events_needs_the_smallest_column():
    assert derive(lambda e: ak.num(e, axis=0)).columns == ("HLT",)


def test_the_lengths_of_a_list_need_its_column():
    assert derive(lambda e: ak.num(e.Muon_pt)).columns == ("Muon_pt",)


def test_names_are_escaped_for_filters():
    form = ak.forms.RecordForm(
        [ak.forms.NumpyForm("int32")] * 4, ["x?", "a[1]", "/b/i", "plain.name"]
    )
    query = derive(lambda e: [e["x?"], e["a[1]"], e["/b/i"], e["plain.name"]], form)
    matches = uproot._util.regularize_filter
    names = query.selection()["filter_name"]
    for name, escaped in zip(query.columns, names, strict=True):
        assert matches(escaped)(name)
        assert sum(bool(matches(escaped)(other)) for other in form.fields) == 1


def test_a_mapping_of_functions_gives_one_query():
    query = derive({"a": lambda e: e.MET[e.HLT], "b": lambda e: e.phi[e.HLT]})
    assert query.columns == ("HLT", "MET", "phi")
    assert query.cut == "get('HLT')"


def test_histograms_are_outputs():
    def analysis(events: Any) -> Any:
        lazy: Any = hist.dask.Hist(hist.axis.Regular(10, 0, 100), storage=hist.storage.Weight())
        good = events[events.MET > 30]
        return lazy.fill(good.MET, weight=good.weight)

    query = derive(analysis)
    assert query.columns == ("MET", "weight")
    assert query.cut == "(get('MET') > 30.0)"


def test_two_regions_are_joined_by_or():
    query = derive(lambda e: [e.phi[e.HLT & (e.MET > 3)], e.phi[e.HLT & (e.nMuon > 1)]])
    assert query.cut == "((get('HLT') & (get('MET') > 3.0)) | (get('HLT') & (get('nMuon') > 1)))"


def test_nested_selections_are_joined_by_and():
    def analysis(events: Any) -> Any:
        triggered = events[events.HLT]
        return [triggered[triggered.MET > 3].phi, triggered[triggered.nMuon > 1].phi]

    assert derive(analysis).cut == "get('HLT') & ((get('MET') > 3.0) | (get('nMuon') > 1))"


def test_a_sum_of_weights_beside_the_selection_leaves_no_cut():
    query = derive(lambda e: {"selected": e.phi[e.HLT], "sum": ak.sum(e.weight)})
    assert query.cut is None
    assert "before any selection" in query.notes[0]


def test_the_number_of_all_events_leaves_no_cut():
    assert derive(lambda e: [e.phi[e.HLT], ak.num(e, axis=0)]).cut is None


def test_cut_false_is_only_columns():
    query = derive(lambda e: e.phi[e.HLT], cut=False)
    assert query.cut is None
    assert query.columns == ("HLT", "phi")


def test_cut_exact_leaves_out_what_needs_slack():
    def analysis(events: Any) -> Any:
        return events.phi[events.HLT & (ak.sum(events.Jet_pt, axis=1) > 200)]

    assert "sum" in str(derive(analysis).cut)
    assert derive(analysis, cut="exact").cut == "get('HLT')"


def test_a_function_that_cannot_be_traced_needs_everything():
    def refuse(array: ak.Array) -> ak.Array:
        if ak.backend(array) == "typetracer":
            raise TypeError("no data")
        return array

    def analysis(events: Any) -> Any:
        selected = events[events.HLT]
        return map_partitions(refuse, selected.phi, meta=selected.phi._meta)

    query = derive(analysis)
    assert query.columns == tuple(
        sorted(ak.forms.from_type(ak.types.from_datashape(FORM, highlevel=False)).fields)
    )
    assert query.cut is None
    assert "can't be traced" in query.notes[0]
    assert "no data" in query.notes[0]


def test_concatenated_arrays_need_the_columns_of_all():
    query = derive(lambda e: ak.concatenate([e.Muon_pt, e.Jet_pt]))
    assert query.columns == ("Jet_pt", "Muon_pt")


@pytest.mark.parametrize(
    "analysis",
    [lambda e: e.MET.compute(), lambda e: e.MET[e.MET.compute() < e.MET]],
)
def test_computing_while_the_query_is_derived_is_an_error(analysis: Any):
    with pytest.raises(InvalidArgumentError, match="computes something"):
        derive(analysis)


@pytest.mark.parametrize(
    ("analysis", "message"),
    [
        (lambda _events: 3, "without a Dask collection"),
        (lambda _events: from_awkward(ak.Array([1, 2]), 1), "must use its events"),
        (3, "must be a function"),
    ],
)
def test_analyses_without_events_are_refused(analysis: Any, message: str):
    with pytest.raises(InvalidArgumentError, match=message):
        derive(analysis)


def test_bad_arguments_are_refused():
    def analysis(events: Any) -> Any:
        return events.MET

    with pytest.raises(InvalidArgumentError, match="cut='no'"):
        derive(analysis, cut="no")
    with pytest.raises(InvalidArgumentError, match="tree=''"):
        sxl.derive_query(analysis, FORM, "")
    with pytest.raises(InvalidArgumentError, match="form must be that of the input"):
        derive(analysis, ([{"treename": "Events"}], "input.root"))
    with pytest.raises(FormError):
        derive(analysis, "missing.root")


def test_the_form_of_an_input_file_is_read(tmp_path: Path):
    with uproot.recreate(tmp_path / "input.root") as file:
        file.mktree("Events", {"MET": np.array([1.0, 2.0]), "x": np.array([1, 2])})
    query = derive(lambda e: e.x[e.MET > 1], tmp_path / "input.root")
    assert query.columns == ("MET", "x")
    assert query.cut == "(get('MET') > 1.0)"


def test_the_query_is_one_of_the_official_client():
    query = derive(lambda e: e.phi[e.HLT])
    assert query.query.default_codegen == "uproot-raw"
    selection = query.query.generate_selection_string()
    assert '"cut": "get(\'HLT\')"' in selection
    assert '"filter_name": ["HLT", "phi"]' in selection


def test_it_is_shown_as_text_and_html():
    query = derive(lambda e: e.phi[e.HLT & (e.MET < 1)])
    assert "columns: HLT, MET, phi" in repr(query)
    assert "(get(&#x27;MET&#x27;) &lt; 1.0)" in query._repr_html_()


def test_func_adl_selects_only_what_is_needed():
    text = (
        "(call Select (call EventDataset) (lambda (list e) (dict (list 'n' 'pt' 'eta') (list"
        " (call Count (attr e 'jets')) (call Select (attr e 'jets') (lambda (list j)"
        " (/ (attr j 'pt') 1000))) (call Select (attr e 'jets') (lambda (list j)"
        " (/ (attr j 'eta') 1)))))))"
    )
    query = derive(lambda e: e.pt[e.n > 2], text)
    assert query.columns == ("n", "pt")
    assert query.cut is None
    assert "'pt'" in query.query
    assert "'eta'" not in query.query
    assert sxl.forms.from_func_adl(query.query).fields == ["n", "pt"]
