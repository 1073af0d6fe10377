from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import hist
import numpy as np
import pytest
import uproot
from coffea.nanoevents import NanoAODSchema
from dask.base import compute
from distributed import Client, LocalCluster
from servicex import dataset

import servicex_layer as sxl
from servicex_layer.errors import InvalidArgumentError
from servicex_layer.local import LocalServiceX
from servicex_layer.mapping._coffea import form_mapping

FORMATS = ("parquet", "root-ttree", "root-rntuple")
TREE = "Events"

pytestmark = pytest.mark.dask_awkward


@pytest.fixture(scope="module")
def muon_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Write three files of events with muons."""
    paths = [tmp_path_factory.mktemp("muons") / f"muons-{number}.root" for number in range(3)]
    for seed, path in enumerate(paths):
        rng = np.random.default_rng(seed)
        counts = rng.integers(0, 4, 200)
        with uproot.recreate(path) as file:
            file.mktree(
                TREE,
                {
                    "MET": rng.exponential(30, 200).astype("f4"),
                    "run": np.full(200, seed),
                    "luminosityBlock": np.zeros(200, "i4"),
                    "event": np.arange(200),
                    "weight": rng.random(200),
                    "Muon": ak.zip(
                        {
                            "pt": ak.unflatten(rng.exponential(20, sum(counts)), counts),
                            "eta": ak.unflatten(rng.normal(size=sum(counts)), counts),
                            "phi": ak.unflatten(rng.normal(size=sum(counts)), counts),
                            "mass": ak.unflatten(np.full(sum(counts), 0.1), counts),
                            "charge": ak.unflatten(rng.choice([-1, 1], sum(counts)), counts),
                        }
                    ),
                },
            )
    return paths


@pytest.fixture
def muons(muon_files: list[Path]) -> Any:
    return dataset.FileList(list(map(str, muon_files)))


def analysis(events: Any) -> dict[str, Any]:
    good = events.Muon_pt[events.Muon_pt > 10]
    selected = events[(ak.num(good) >= 2) & (events.MET > 20)]
    lazy = importlib.import_module("hist.dask").Hist if hasattr(events, "dask") else hist.Hist
    weighted: Any = lazy(hist.axis.Regular(20, 0, 100), storage=hist.storage.Weight())
    weighted.fill(selected.MET, weight=selected.weight)
    opposite = selected[ak.sum(selected.Muon_charge, axis=1) == 0]
    return {
        "MET": selected.MET,
        "pt": opposite.Muon_pt,
        "number": ak.num(opposite, axis=0),
        "histogram": weighted,
    }


def check(outputs: dict[str, Any], files: list[Path]) -> None:
    """Compare with the analysis of all columns and events, in any order of files."""
    whole = uproot.concatenate([f"{path}:{TREE}" for path in files])
    expected = analysis(whole)
    assert sorted(outputs["MET"].tolist()) == sorted(expected["MET"].tolist())
    assert sorted(outputs["pt"].tolist()) == sorted(expected["pt"].tolist())
    assert int(outputs["number"]) == len(expected["pt"])
    assert np.allclose(
        outputs["histogram"].view(flow=True)["value"],
        expected["histogram"].view(flow=True)["value"],
    )


@pytest.mark.parametrize("output_format", FORMATS)
@pytest.mark.parametrize("scheduler", ["sync", "threads"])
def test_the_results_are_those_of_all_columns_and_events(
    service: LocalServiceX,
    muons: Any,
    muon_files: list[Path],
    output_format: str,
    scheduler: str,
):
    outputs = sxl.apply_to_dataset(
        analysis, muons, muon_files[0], TREE, output_format=output_format
    )
    (computed,) = compute(outputs, scheduler=scheduler)
    check(computed, muon_files)


@pytest.mark.parametrize("output_format", FORMATS)
def test_the_results_are_the_same_on_a_cluster(
    service: LocalServiceX,
    cluster_of_processes: LocalCluster,
    muons: Any,
    muon_files: list[Path],
    output_format: str,
):
    with Client(cluster_of_processes):
        outputs = sxl.apply_to_dataset(
            analysis, muons, muon_files[0], TREE, output_format=output_format
        )
        (computed,) = compute(outputs)
    check(computed, muon_files)


def test_events_that_no_selection_keeps_give_empty_arrays(
    service: LocalServiceX, muons: Any, muon_files: list[Path]
):
    outputs = sxl.apply_to_dataset(
        lambda e: [e.Muon_pt[e.MET > 1e9], ak.num(e[e.MET > 1e9], axis=0)],
        muons,
        muon_files[0],
        TREE,
    )
    ((pt, number),) = compute(outputs)
    assert pt.tolist() == []
    assert number == 0


def test_only_the_number_of_events_is_right(
    service: LocalServiceX, muons: Any, muon_files: list[Path]
):
    number = sxl.apply_to_dataset(lambda e: ak.num(e, axis=0), muons, muon_files[0], TREE)
    assert number.compute() == 600


def test_partitions_can_hold_several_files(
    service: LocalServiceX, muons: Any, muon_files: list[Path]
):
    met = sxl.apply_to_dataset(lambda e: e.MET, muons, muon_files[0], TREE, files_per_partition=2)
    assert met.npartitions == 2
    assert len(met.compute()) == 600


def test_results_are_parquet_unless_a_format_is_named(
    service: LocalServiceX, muons: Any, muon_files: list[Path], request_id_of: Any
):
    met = sxl.apply_to_dataset(lambda e: e.MET, muons, muon_files[0], TREE)
    assert request_format(service, request_id_of(met)) == "parquet"
    met = sxl.apply_to_dataset(
        lambda e: e.MET, muons, muon_files[0], TREE, output_format="root-ttree"
    )
    assert request_format(service, request_id_of(met)) == "root-file"


def request_format(service: LocalServiceX, request_id: str) -> str:
    import httpx

    token = {"Authorization": f"Bearer {access_token(service)}"}
    answer = httpx.get(f"{service.url}/servicex/transformation/{request_id}", headers=token)
    return str(answer.json()["result-format"])


def access_token(service: LocalServiceX) -> str:
    import httpx
    import yaml

    (endpoint,) = yaml.safe_load(service.servicex_yaml.read_text())["api_endpoints"]
    refresh = {"Authorization": f"Bearer {endpoint['token']}"}
    return str(httpx.post(f"{service.url}/token/refresh", headers=refresh).json()["access_token"])


def test_an_analysis_that_changes_is_an_error_before_submission(
    service: LocalServiceX, muons: Any, muon_files: list[Path]
):
    thresholds = iter(range(100))

    def changing(events: Any) -> Any:
        return events.run[next(thresholds) < events.MET]

    service.traffic.reset()
    with pytest.raises(InvalidArgumentError, match="not the same each time"):
        sxl.apply_to_dataset(changing, muons, muon_files[0], TREE)
    assert not service.traffic.calls


def test_an_earlier_request_that_holds_all_is_used_again(
    service: LocalServiceX,
    muons: Any,
    muon_files: list[Path],
    request_id_of: Any,
    caplog: pytest.LogCaptureFixture,
):
    def apply(function: Callable[[Any], Any], **options: Any) -> str:
        met = sxl.apply_to_dataset(function, muons, muon_files[0], TREE, **options)
        return str(request_id_of(met))

    first = apply(lambda e: ak.zip({"a": e.MET, "b": e.run, "c": e.weight})[e.MET > 20])
    with caplog.at_level(logging.INFO, "servicex_layer"):
        assert apply(lambda e: e.run[(e.MET > 20) & (e.weight > 0.5)]) == first
    assert f"Request {first} of the same dataset holds all" in caplog.text
    assert apply(lambda e: e.run[e.MET > 10]) != first
    assert apply(lambda e: e.Muon_pt[e.MET > 20]) != first
    assert apply(lambda e: e.run[e.MET > 20], ignore_local_cache=True) != first


def test_a_request_of_another_dataset_is_not_used_again(
    service: LocalServiceX, muons: Any, muon_files: list[Path], request_id_of: Any
):
    def apply(files: Any, function: Callable[[Any], Any]) -> str:
        return str(request_id_of(sxl.apply_to_dataset(function, files, muon_files[0], TREE)))

    first = apply(muons, lambda e: ak.zip({"a": e.MET, "b": e.run}))
    other = dataset.FileList([str(muon_files[0])])
    assert apply(other, lambda e: e.MET) != first
    assert apply(muons, lambda e: e.MET) == first


def test_deliver_takes_an_analysis_in_place_of_a_query(
    service: LocalServiceX, muons: Any, muon_files: list[Path]
):
    spec = {"Sample": [{"Name": "muons", "Dataset": muons, "Analysis": analysis}]}
    samples = sxl.deliver(spec, form=muon_files[0], tree=TREE)
    (computed,) = compute(samples["muons"])
    check(computed, muon_files)


def test_a_sample_with_an_analysis_needs_form_and_tree(service: LocalServiceX, muons: Any):
    spec = {"Sample": [{"Name": "muons", "Dataset": muons, "Analysis": analysis}]}
    with pytest.raises(InvalidArgumentError, match="form and the tree"):
        sxl.deliver(spec)


def test_a_sample_with_query_and_analysis_is_an_error(
    service: LocalServiceX, muons: Any, muon_files: list[Path], uproot_raw: Any
):
    sample = {"Name": "muons", "Dataset": muons, "Analysis": analysis, "Query": uproot_raw}
    with pytest.raises(InvalidArgumentError, match="both Query and Analysis"):
        sxl.deliver({"Sample": [sample]}, form=muon_files[0], tree=TREE)


@pytest.mark.filterwarnings("ignore:Missing cross-reference")
def test_coffeas_schema_reads_the_results(
    service: LocalServiceX, muons: Any, muon_files: list[Path]
):
    mapping = form_mapping(NanoAODSchema, None)

    def count(events: Any) -> Any:
        return ak.num(events.Muon[ak.num(events.Muon[events.Muon.pt > 10]) >= 2], axis=0)

    counted = sxl.apply_to_dataset(count, muons, muon_files[0], TREE, form_mapping=mapping)
    pt = uproot.concatenate([f"{path}:{TREE}" for path in muon_files]).Muon_pt
    assert counted.compute() == ak.sum(ak.num(pt[pt > 10]) >= 2)
