"""The three ways of coffea: a function with a schema, an unchanged `Runner`, a lazy array."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import dask
import hist
import numpy as np
import pytest
from coffea import processor
from coffea.nanoevents import NanoAODSchema
from distributed import Client, LocalCluster

import servicex_layer as sxl

FORMATS = ["root-file", "root-rntuple", "parquet"]

# Jets and muons refer to collections that were not asked for.
pytestmark = pytest.mark.filterwarnings("ignore:Missing cross-reference index:RuntimeWarning")


def new_histogram() -> hist.Hist[Any]:
    return hist.Hist.new.StrCat(["muon", "jet"]).Reg(50, 0, 200).Int64()


class MuonsAndJets(processor.ProcessorABC):  # type: ignore[misc]
    """Fills the transverse momenta of muons and of the jets that they are in."""

    def process(self, events: Any) -> Any:
        filled = new_histogram()
        filled.fill("muon", ak.to_numpy(ak.flatten(events.Muon.pt)))
        jets = ak.drop_none(ak.flatten(events.Muon.matched_jet.pt))
        filled.fill("jet", ak.to_numpy(jets))
        return {events.metadata["dataset"]: {"pt": filled, "events": len(events)}}

    def postprocess(self, accumulator: Any) -> Any:
        return {name: {**one, "processed": True} for name, one in accumulator.items()}


@pytest.fixture(scope="module")
def expected(nano: list[Path]) -> dict[str, Any]:
    """Return what plain coffea makes of the inputs."""
    fileset = {"dimuon": {"files": [str(path) for path in nano], "treename": "Events"}}
    run = processor.Runner(processor.IterativeExecutor(status=False), schema=NanoAODSchema)
    with warnings.catch_warnings():
        # About branches of the inputs that nobody asked for.
        warnings.simplefilter("ignore")
        result: dict[str, Any] = run(fileset, MuonsAndJets())["dimuon"]
    assert result["events"] == 480
    assert result["pt"][{0: sum}].sum() > 0
    return result


def check(result: Any, expected: dict[str, Any]) -> None:
    assert np.array_equal(result["pt"].values(flow=True), expected["pt"].values(flow=True))
    assert result["events"] == expected["events"]


def array_histogram(request_id: str) -> Any:
    """Fill the histogram from a lazy array of NanoEvents."""
    muons = sxl.nanoevents(request_id).Muon
    pt, jet_pt = dask.base.compute(muons.pt, muons.matched_jet.pt)
    filled = new_histogram()
    filled.fill("muon", ak.to_numpy(ak.flatten(pt)))
    filled.fill("jet", ak.to_numpy(ak.drop_none(ak.flatten(jet_pt))))
    return {"pt": filled, "events": len(pt)}


@pytest.mark.parametrize("result_format", FORMATS)
def test_every_way_fills_the_histogram_of_plain_coffea(
    nanoaod: Callable[..., str],
    nano: list[Path],
    expected: dict[str, Any],
    cluster_of_processes: LocalCluster,
    result_format: str,
):
    samples = {"dimuon": nanoaod(nano, result_format)}
    iterative = processor.IterativeExecutor(status=False)
    for scheduler in ("sync", "threads"):
        with dask.config.set(scheduler=scheduler):
            check_every_way(samples, iterative, expected, result_format)
    with Client(cluster_of_processes) as client:
        distributed = processor.DaskExecutor(client=client, status=False)
        check_every_way(samples, distributed, expected, result_format)


def check_every_way(
    samples: dict[str, str], executor: Any, expected: dict[str, Any], result_format: str
) -> None:
    mapped = sxl.map_files(MuonsAndJets(), samples, schema=NanoAODSchema)
    result = mapped.compute()["dimuon"]["dimuon"]
    assert result["processed"]
    check(result, expected)
    if result_format == "parquet":
        return  # coffea's Runner and form mappings read ROOT files
    run = processor.Runner(executor, schema=NanoAODSchema)
    check(run(sxl.work_items(samples), MuonsAndJets())["dimuon"], expected)
    check(array_histogram(samples["dimuon"]), expected)
