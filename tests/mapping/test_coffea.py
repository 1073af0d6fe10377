"""The three ways of coffea: a function with a schema, an unchanged `Runner`, a lazy array."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import dask
import hist
import numpy as np
import pytest
import uproot
from coffea import processor
from coffea.nanoevents import BaseSchema, NanoAODSchema, NanoEventsFactory, PHYSLITESchema
from distributed import Client, LocalCluster

import servicex_layer as sxl
from servicex_layer.errors import (
    FailedFilesError,
    FunctionError,
    InvalidArgumentError,
    MissingExtraError,
    NoTreeError,
    SchemaMismatchError,
)
from servicex_layer.local import Faults, LocalServiceX
from servicex_layer.mapping._coffea import base_form_of, form_mapping

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
    events: Any = sxl.nanoevents(request_id)
    muons = events.Muon
    pt, jet_pt = dask.base.compute(muons.pt, muons.matched_jet.pt)
    filled = new_histogram()
    filled.fill("muon", ak.to_numpy(ak.flatten(pt)))
    filled.fill("jet", ak.to_numpy(ak.drop_none(ak.flatten(jet_pt))))
    return {"pt": filled, "events": len(pt)}


@pytest.mark.dask_awkward
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
    file_format = "parquet" if result_format == "parquet" else "root"
    run = processor.Runner(executor, schema=NanoAODSchema, format=file_format)
    check(run(sxl.work_items(samples), MuonsAndJets())["dimuon"], expected)
    if result_format != "parquet":
        check(array_histogram(samples["dimuon"]), expected)


@pytest.mark.parametrize("way", ["map_files", "Runner"])
def test_a_processor_starts_with_the_first_finished_file(
    service: LocalServiceX,
    submit: Callable[..., str],
    nano: list[Path],
    nanoaod_columns: list[str],
    in_thread: Any,
    until: Any,
    way: str,
):
    started: list[int] = []

    class Noting(MuonsAndJets):
        def process(self, events: Any) -> Any:
            started.append(events.metadata["number"])
            return super().process(events)

    request_id = submit(nano[:3], "Events", columns=nanoaod_columns)

    def analyse() -> Any:
        if way == "map_files":
            mapped = sxl.map_files(Noting(), request_id, schema=NanoAODSchema)
            return mapped.compute(scheduler="threads")
        executor = processor.IterativeExecutor(status=False)
        # A compressed processor is a copy, whose list nobody sees.
        run = processor.Runner(executor, schema=NanoAODSchema, processor_compression=None)
        return run(sxl.work_items(request_id, tree="Events"), Noting())

    result = in_thread(analyse)
    service.release(request_id, 2)
    until(lambda: started == [0])
    service.release(request_id, 0, 1)
    assert result()[request_id]["events"] == 120


@pytest.mark.filterwarnings("ignore::servicex_layer.errors.FailedFilesWarning")
@pytest.mark.parametrize("scheduler", ["threads", "cluster_of_processes"], indirect=True)
def test_a_processor_leaves_out_the_failed_files_of_each_sample(
    use_service: Callable[[LocalServiceX], None],
    nano: list[Path],
    nanoaod_columns: list[str],
    scheduler: str,
):
    with LocalServiceX(faults=Faults(failing={1})) as service:
        use_service(service)
        samples = {
            name: service.submit(nano[:files], tree="Events", columns=nanoaod_columns)
            for name, files in (("a", 3), ("b", 2))
        }
        mapped = sxl.map_files(MuonsAndJets(), samples, schema=NanoAODSchema)
        result = mapped.compute()
    assert {name: result[name][name]["events"] for name in samples} == {"a": 80, "b": 40}


# map_files with a schema


def test_metadata_and_the_open_file(nanoaod: Callable[..., str], nano: list[Path]):
    def describe(events: Any) -> list[Any]:
        names = events.attrs["@file"].keys(cycle=False)
        return [(events.metadata["filename"], events.metadata["year"], names)]

    request_id = nanoaod(nano[:1])
    mapped = sxl.map_files(describe, request_id, schema=NanoAODSchema, metadata={"year": 2018})
    assert mapped.compute() == [(str(nano[0]), 2018, ["Events"])]


@pytest.mark.parametrize("result_format", FORMATS)
def test_base_schema_shows_the_columns(
    finished: Callable[..., str], inputs: list[Path], result_format: str
):
    request_id = finished(inputs, result_format=result_format)
    mapped = sxl.map_files(
        lambda events: float(ak.sum(events.x) + ak.sum(events.v)), request_id, schema=BaseSchema
    )
    assert mapped.compute() == 6180 + 9 * 8


@pytest.mark.parametrize("result_format", FORMATS)
def test_physlite_schema_collects_the_columns(
    finished: Callable[..., str], tmp_path: Path, write_file: Any, result_format: str
):
    values = ak.Array([[60.0, 50.0], [], [40.0]])
    fields = {"pt": values, "eta": values / 100, "phi": values / 50, "m": values / 10}
    columns = {f"AnalysisElectronsAuxDyn.{name}": field for name, field in fields.items()}
    path = write_file(tmp_path / "physlite.root", CollectionTree=columns)

    def electrons(events: Any) -> list[Any]:
        return [events.Electrons.pt.to_list(), ak.sum(events.Electrons.mass)]

    request_id = finished([path], "CollectionTree", result_format=result_format)
    plain = NanoEventsFactory.from_root(
        {str(path): "CollectionTree"}, schemaclass=PHYSLITESchema
    ).events()
    mapped = sxl.map_files(electrons, request_id, schema=PHYSLITESchema)
    assert mapped.compute() == electrons(plain)


class NeedsWeights(BaseSchema):  # type: ignore[misc]
    """A schema of files with a column of weights."""

    def __init__(self, base_form: Any, *arguments: Any) -> None:
        self.weight = dict(zip(base_form["fields"], base_form["contents"], strict=True))["weight"]
        super().__init__(base_form, *arguments)


def test_a_schema_that_does_not_fit_names_the_file_and_the_column(
    finished: Callable[..., str], inputs: list[Path]
):
    mapped = sxl.map_files(len, finished(inputs), schema=NeedsWeights)
    with pytest.raises(SchemaMismatchError) as raised:
        mapped.compute(scheduler="sync")
    for part in (str(inputs[0]), "NeedsWeights", "it has no 'weight'", "x, n"):
        assert part in str(raised.value)


def test_a_missing_collection_names_the_file(finished: Callable[..., str], inputs: list[Path]):
    mapped = sxl.map_files(
        lambda events: ak.sum(events.Tau.pt), finished(inputs), schema=BaseSchema
    )
    with pytest.raises(FunctionError, match=r"input-0\.root.*Tau"):
        mapped.compute(scheduler="sync")


def test_a_parquet_column_with_nulls_is_an_error(
    finished: Callable[..., str], inputs: list[Path], stored: Any
):
    request_id = finished(inputs[:1], result_format="parquet")
    x = np.ma.masked_less(np.random.default_rng(1).random(9000), 0.1)
    ak.to_parquet(ak.Array({"x": ak.from_numpy(x)}), stored(request_id, 0))
    mapped = sxl.map_files(lambda events: ak.sum(events.x), request_id, schema=BaseSchema)
    with pytest.raises(SchemaMismatchError, match=r"'x'.*has nulls"):
        mapped.compute(scheduler="sync")


@pytest.mark.dask_awkward
@pytest.mark.parametrize("result_format", FORMATS)
def test_a_processor_costs_the_bytes_of_an_array(
    finished: Callable[..., str], tmp_path: Path, write_file: Any, result_format: str
):
    random = np.random.default_rng(1)
    paths = [
        write_file(
            tmp_path / f"wide-{number}.root",
            Events={f"c{column}": random.random(5_000) for column in range(100)},
        )
        for number in range(2)
    ]
    request_id = finished(paths, "Events", result_format=result_format)
    chosen = [f"c{column}" for column in (3, 20, 21, 60, 99)]

    class Five(processor.ProcessorABC):  # type: ignore[misc]
        def process(self, events: Any) -> dict[str, float]:
            return {"sum": float(sum(ak.sum(events[column]) for column in chosen))}

    with dask.config.set({"servicex-layer.range-threshold": 0, "scheduler": "sync"}):
        events, report = sxl.from_servicex(request_id, report=True)
        sums, records = dask.base.compute([ak.sum(events[name]) for name in chosen], report)
        mapped = sxl.map_files(Five(), request_id, schema=BaseSchema, report=True)
        result, mapped_records = dask.base.compute(*mapped)
    assert result["sum"] == pytest.approx(float(sum(sums)))
    assert ak.sum(mapped_records.read) <= 1.1 * ak.sum(records.read)


class Count(processor.ProcessorABC):  # type: ignore[misc]
    """Counts events and says that it is done."""

    def process(self, events: Any) -> dict[str, Any]:
        return {"events": len(events)}

    def postprocess(self, accumulator: dict[str, Any]) -> None:
        accumulator["is_done"] = True


def test_a_processor_may_change_its_result_at_the_end(
    finished: Callable[..., str], inputs: list[Path]
):
    mapped = sxl.map_files(Count(), finished(inputs))
    assert mapped.compute(scheduler="sync") == {"events": 40, "is_done": True}


def test_an_error_at_the_end_of_a_processor_names_the_request(
    finished: Callable[..., str], inputs: list[Path]
):
    class FailAtTheEnd(Count):
        def postprocess(self, accumulator: dict[str, Any]) -> None:
            raise ValueError(f"{accumulator['events']} events are too few")

    request_id = finished(inputs)
    mapped = sxl.map_files(FailAtTheEnd(), request_id)
    message = f"Request {request_id}: postprocess failed: ValueError: 40 events are too few"
    with pytest.raises(FunctionError, match=message):
        mapped.compute(scheduler="sync")


# Runner


def test_the_nth_url_is_the_nth_finished_file(
    service: LocalServiceX, submit: Callable[..., str], inputs: list[Path], in_thread: Any
):
    request_id = submit(inputs)
    first, second, *_ = sxl.work_items(request_id, tree="events")

    def read_x(url: str) -> Any:
        with uproot.open({url: "events"}) as tree:
            return tree["x"].array()

    x = in_thread(lambda: read_x(second.filename))
    service.release(request_id, 3)
    service.release(request_id, 1)
    assert x()[0] == 100
    assert read_x(first.filename)[0] == 300


@pytest.mark.filterwarnings("ignore::servicex_layer.errors.FailedFilesWarning")
@pytest.mark.filterwarnings("ignore:Skipping bad file:UserWarning")
@pytest.mark.filterwarnings("ignore:Performed attempt:UserWarning")
def test_runner_skips_failed_files(
    use_service: Callable[[LocalServiceX], None], inputs: list[Path]
):
    def count(events: Any) -> dict[str, int]:
        return {"events": len(events)}

    executor = processor.IterativeExecutor(status=False)
    with LocalServiceX(faults=Faults(failing={0, 2})) as service:
        use_service(service)
        items = sxl.work_items(service.submit(inputs, tree="events"))
        run = processor.Runner(executor, schema=BaseSchema, skipbadfiles=True)
        assert run(items, count) == {"events": 20}
        strict = processor.Runner(executor, schema=BaseSchema)
        with pytest.raises(Exception, match=r"input-[02]\.root failed"):
            strict(items, count)


def test_work_items_find_the_tree(finished: Callable[..., str], inputs: list[Path]):
    (item,) = sxl.work_items(finished(inputs[:1]), metadata={"year": 2018})
    assert (item.treename, item.usermeta["year"]) == ("events", 2018)
    assert sxl.work_items(finished([])) == []
    (item,) = sxl.work_items(finished(inputs[:1], result_format="parquet"))
    assert item.treename == ""


@pytest.mark.filterwarnings("ignore::servicex_layer.errors.FailedFilesWarning")
def test_work_items_of_a_request_without_finished_files(
    finished: Callable[..., str], inputs: list[Path]
):
    request_id = finished(inputs, "no-such-tree")
    with pytest.raises((NoTreeError, FailedFilesError), match=request_id):
        sxl.work_items(request_id)
    assert len(sxl.work_items(request_id, tree="events")) == 4


# nanoevents


MUON_PT = [[30.0, 20.0], [], [50.0]]


@pytest.fixture
def muons(finished: Callable[..., str], tmp_path: Path, write_file: Callable[..., Path]) -> str:
    """Return a finished request with a file of muons, named as in NanoAOD."""
    muons = {name: ak.Array([[0.1, 0.2], [], [0.3]]) for name in ("eta", "phi", "mass")}
    muons |= {"pt": ak.Array(MUON_PT), "charge": ak.Array([[1, -1], [], [1]])}
    ids = {name: np.arange(3) for name in ("run", "luminosityBlock", "event")}
    path = write_file(tmp_path / "muons.root", Events={**ids, "Muon": ak.zip(muons)})
    return finished([path], "Events", columns=[*ids, "nMuon", *(f"Muon_{name}" for name in muons)])


@pytest.mark.dask_awkward
def test_nanoevents_have_collections(muons: str):
    events: Any = sxl.nanoevents(muons, metadata={"year": 2018})
    assert events.metadata["year"] == 2018
    positive = events.Muon[events.Muon.charge > 0]
    assert positive.pt.compute().to_list() == [[30.0], [], [50.0]]


def test_a_function_gets_nanoevents(muons: str):
    mapped = sxl.map_files(lambda events: [events.Muon.pt], muons, schema=NanoAODSchema)
    (pt,) = mapped.compute(scheduler="sync")
    assert pt.to_list() == MUON_PT


@pytest.mark.parametrize(
    ("module", "call"),
    [("coffea.nanoevents", sxl.nanoevents), ("coffea.processor.executor", sxl.work_items)],
)
def test_without_coffea_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, module: str, call: Callable[[str], Any]
):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"servicex_layer\[coffea\]"):
        call("5f1c0d3e")


@pytest.mark.dask_awkward
def test_nanoevents_have_metadata_and_a_report(nanoaod: Callable[..., str], nano: list[Path]):
    events, report = sxl.nanoevents(nanoaod(nano[:2]), metadata={"year": 2018}, report=True)
    assert events.metadata["year"] == 2018
    jets, records = dask.base.compute(events.Muon.matched_jet.pt, report)
    assert (len(jets), len(records)) == (80, 2)


@pytest.mark.dask_awkward
def test_nanoevents_need_a_schema_and_root_files(finished: Callable[..., str], inputs: list[Path]):
    with pytest.raises(InvalidArgumentError, match="must be a schema of coffea"):
        sxl.nanoevents("5f1c0d3e", "NanoAOD")  # type: ignore[arg-type]
    parquet = finished(inputs[:1], result_format="parquet")
    with pytest.raises(InvalidArgumentError, match=r"nanoevents, .* Parquet.* use map_files"):
        sxl.nanoevents(parquet)


# What is private in coffea


def test_coffea_has_the_form_mapping_of_a_schema():
    mapping = form_mapping(NanoAODSchema, {"year": 2018})
    needed = {"load_buffers", "keys_for_buffer_keys", "parse_buffer_key", "buffer_key", "behavior"}
    assert callable(mapping)
    assert needed <= {*dir(mapping)}


def test_coffea_writes_the_keys_of_buffers():
    form = ak.forms.RecordForm([ak.forms.NumpyForm("float64")], ["x"])
    assert base_form_of(form)["contents"][0]["form_key"] == "x%2C%21load"


def test_a_column_whose_name_has_a_meaning_in_the_keys_is_left_out():
    form = ak.forms.RecordForm([ak.forms.NumpyForm("float64")] * 3, ["x", "x,y", "x!"])
    assert base_form_of(form)["fields"] == ["x"]
