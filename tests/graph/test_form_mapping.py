"""Behaviors, and form mappings: muons of NanoAOD as records that vector and coffea know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import awkward as ak
import cloudpickle
import numpy as np
import pytest
import uproot
import vector
from awkward.forms import ListOffsetForm, NumpyForm, RecordForm
from dask.base import tokenize
from optional_dask_awkward import dak  # type: ignore[import-not-found]

from servicex_layer import SXFileLayer, UprootLoadLayer, from_servicex
from servicex_layer.errors import InvalidArgumentError, ResultError, SchemaMismatchError
from servicex_layer.local import LocalServiceX

BEHAVIOR = vector.backends.awkward.behavior
ROOT_FORMATS = ["root-file", "root-rntuple"]
FIELDS = ["pt", "eta", "phi", "mass"]
FORM = (
    "{nMuon: int32, Muon_pt: var * float32, Muon_eta: var * float32, Muon_phi: var * float32, "
    "Muon_mass: var * float32, run: uint32}"
)


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory, write_file: Callable[..., Path]) -> list[Path]:
    """Two files of 20 events as in NanoAOD."""
    random = np.random.default_rng(1)
    directory = tmp_path_factory.mktemp("nano")
    paths = []
    for number in range(2):
        counts = {"Muon": random.integers(0, 4, 20), "Jet": random.integers(0, 3, 20)}
        columns: dict[str, Any] = {
            "run": np.full(20, number, np.uint32),
            "luminosityBlock": np.arange(20, dtype=np.uint32),
            "event": np.arange(20, dtype=np.uint64),
        }
        for name, count in counts.items():
            total = count.sum()
            values = {field: random.random(total, np.float32) for field in FIELDS}
            if name == "Muon":
                values |= {"charge": random.integers(-1, 2, total).astype(np.int32)}
                values |= {"jetIdx": np.full(total, -1, np.int32)}
            columns[name] = ak.zip({key: ak.unflatten(it, count) for key, it in values.items()})
        paths.append(write_file(directory / f"{number}.root", Events=columns))
    return paths


def read_local(paths: list[Path], *columns: str) -> Any:
    """Read the same columns with Uproot alone, all files in a row."""
    return uproot.concatenate([f"{path}:Events" for path in paths], list(columns))


def px_of(paths: list[Path]) -> Any:
    muons = read_local(paths, "Muon_pt", "Muon_phi")
    return muons.Muon_pt * np.cos(muons.Muon_phi)


class NestMuons:
    """Map Muon_* to lists of vector's records, with the lengths of nMuon; drop the rest."""

    buffer_key = "{form_key}/{attribute}"
    behavior = BEHAVIOR

    def __call__(self, form: RecordForm) -> tuple[RecordForm, NestMuons]:
        fields = [name for name in form.fields if name.startswith("Muon_")]
        muon = RecordForm(
            [NumpyForm(form.content(name).content.primitive, form_key=name) for name in fields],
            [name.removeprefix("Muon_") for name in fields],
            parameters={"__record__": "Momentum4D"},
            form_key="Muon",
        )
        run = NumpyForm("uint32", form_key="run", parameters=form.content("run").parameters)
        muons = ListOffsetForm("i64", muon, form_key="nMuon")
        return RecordForm([muons, run], ["Muon", "run"], form_key="events"), self

    def parse_buffer_key(self, buffer_key: str) -> tuple[str, str]:
        form_key, attribute = buffer_key.split("/")
        return form_key, attribute

    def keys_for_buffer_keys(self, buffer_keys: frozenset[str]) -> frozenset[str]:
        return frozenset(self.parse_buffer_key(key)[0] for key in buffer_keys)

    def load_buffers(
        self, tree: Any, keys: frozenset[str], start: int, stop: int, *_: Any
    ) -> Mapping[str, Any]:
        arrays = tree.arrays(list(keys), entry_start=start, entry_stop=stop)
        buffers = {f"{key}/data": ak.to_numpy(ak.flatten(arrays[key], axis=None)) for key in keys}
        if "nMuon" in keys:
            counts = np.asarray(arrays["nMuon"], np.int64)
            buffers["nMuon/offsets"] = np.concatenate([[0], np.cumsum(counts)])
        return buffers


def load_layer(events: Any) -> Any:
    """Return the layer that reads an array."""
    return events.dask.layers[events.name]


def needed_columns(array: Any) -> set[str]:
    (columns,) = dak.necessary_columns(array).values()
    return set(columns)


# Behaviors


@pytest.mark.dask_awkward
def test_a_behavior_applies_to_records_zipped_from_columns(
    finished: Callable[..., str], nano: list[Path]
):
    request_id = finished(nano, "Events")
    events = from_servicex(request_id, behavior=BEHAVIOR)
    muons = dak.zip({field: events[f"Muon_{field}"] for field in FIELDS}, with_name="Momentum4D")
    assert needed_columns(muons.px) == {f"Muon_{field}" for field in FIELDS}
    assert ak.almost_equal(muons.px.compute(), px_of(nano))


@pytest.mark.dask_awkward
@pytest.mark.parametrize("kind", [*ROOT_FORMATS, "parquet"])
def test_a_behavior_applies_to_the_record_name_in_the_form(
    finished: Callable[..., str], tmp_path: Path, write_file: Callable[..., Path], kind: str
):
    columns = {"pt": np.arange(3.0), "phi": np.zeros(3), "eta": np.ones(3), "mass": np.ones(3)}
    path = write_file(tmp_path / "one.root", Events=columns)
    form = RecordForm([NumpyForm("float64")] * 4, FIELDS, parameters={"__record__": "Momentum4D"})
    request_id = finished([path], "Events", result_format=kind)
    events = from_servicex(request_id, form=form, behavior=BEHAVIOR)
    assert needed_columns(events.px) == {"pt", "phi"}
    assert events.px.compute().to_list() == [0, 1, 2]
    assert events.compute().px.to_list() == [0, 1, 2]


@pytest.mark.dask_awkward
@pytest.mark.parametrize("number", ["float32", "float64"])
def test_a_behavior_applies_to_nested_records(
    finished: Callable[..., str], tmp_path: Path, number: str
):
    counts = np.array([2, 0, 1])
    values = {field: np.arange(3, dtype=np.float32) for field in FIELDS}
    muons = ak.unflatten(ak.zip(values), counts)
    with uproot.recreate(tmp_path / "one.root") as file:
        file.mkrntuple("Events", {"muons": muons})
    record = RecordForm([NumpyForm(number)] * 4, FIELDS, parameters={"__record__": "Momentum4D"})
    form = RecordForm([ListOffsetForm("i64", record)], ["muons"])
    request_id = finished([tmp_path / "one.root"], "Events", result_format="root-rntuple")
    events = from_servicex(request_id, form=form, behavior=BEHAVIOR)
    assert needed_columns(events.muons.px) == {"muons.pt", "muons.phi"}
    px = (muons.pt * np.cos(muons.phi)).to_list()
    assert ak.almost_equal(events.muons.px.compute(), px, dtype_exact=False)
    assert ak.almost_equal(events.compute().muons.px, px, dtype_exact=False)


def test_an_empty_partition_has_the_behavior_of_its_records(
    finished: Callable[..., str], inputs: list[Path]
):
    form = RecordForm([NumpyForm("float64")] * 4, FIELDS, parameters={"__record__": "Momentum4D"})
    load = UprootLoadLayer(
        SXFileLayer(finished(inputs), 5), form=form, behavior=BEHAVIOR, fuse=True
    )
    empty = load.project_manually(frozenset({"pt", "phi"})).io_func(4)
    assert empty.fields == FIELDS
    assert empty.px.to_list() == []


# Form mappings


@pytest.mark.dask_awkward
@pytest.mark.every_scheduler
@pytest.mark.parametrize("kind", ROOT_FORMATS)
def test_a_mapping_presents_columns_in_its_form(
    finished: Callable[..., str], nano: list[Path], scheduler: str, kind: str
):
    request_id = finished(nano, "Events", result_format=kind)
    events = from_servicex(request_id, form_mapping=NestMuons())
    assert events.fields == ["Muon", "run"]
    assert needed_columns(events.Muon.px) == {"nMuon", "Muon_pt", "Muon_phi"}
    assert ak.almost_equal(events.Muon.px.compute(), px_of(nano))


@pytest.mark.dask_awkward
@pytest.mark.parametrize("kind", ROOT_FORMATS)
def test_a_mapping_reads_a_whole_array(finished: Callable[..., str], nano: list[Path], kind: str):
    events = from_servicex(
        finished(nano, "Events", result_format=kind), form_mapping=NestMuons()
    ).compute()
    expected = read_local(nano, "Muon_charge", "run")
    assert events.Muon.charge.to_list() == expected.Muon_charge.to_list()
    assert events.run.to_list() == expected.run.to_list()
    assert events.Muon.layout.content.parameter("__record__") == "Momentum4D"


@pytest.mark.dask_awkward
@pytest.mark.parametrize("kind", ROOT_FORMATS)
def test_a_mapping_reads_the_columns_that_lengths_need(
    finished: Callable[..., str], nano: list[Path], kind: str
):
    request_id = finished(nano, "Events", result_format=kind)
    events = from_servicex(request_id, form_mapping=NestMuons())
    numbers = dak.num(events.Muon)
    assert needed_columns(numbers) == {"nMuon"}
    assert numbers.compute().to_list() == read_local(nano, "nMuon").nMuon.to_list()
    assert ak.num(events, axis=0).compute() == 40


@pytest.mark.dask_awkward
def test_a_mapping_reads_needed_branches_only(
    finished: Callable[..., str],
    stored: Callable[[str, int], Path],
    spoil: Callable[[bytes, str, str], bytes],
    nano: list[Path],
):
    request_id = finished(nano, "Events")
    for number in range(2):
        path = stored(request_id, number)
        path.write_bytes(spoil(path.read_bytes(), "Events", "Muon_eta"))
    muons = from_servicex(request_id, form_mapping=NestMuons()).Muon
    assert muons.pt.compute().to_list() == read_local(nano, "Muon_pt").Muon_pt.to_list()
    with pytest.raises(ResultError, match=rf"Result .* of request {request_id}.*NestMuons"):
        muons.eta.compute()


@pytest.mark.dask_awkward
def test_columns_can_be_projected_by_hand(finished: Callable[..., str], nano: list[Path]):
    events = from_servicex(finished(nano, "Events"), form_mapping=NestMuons())
    layer = load_layer(events).project_manually(frozenset({"nMuon", "Muon_pt"}))
    assert layer.io_func.columns == {"nMuon", "Muon_pt"}
    assert load_layer(events).io_func.columns > layer.io_func.columns


@pytest.mark.dask_awkward
def test_an_array_with_unread_columns_survives_a_pickle(
    finished: Callable[..., str], nano: list[Path]
):
    events = from_servicex(finished(nano, "Events"), form_mapping=NestMuons())
    layer = load_layer(events).project_manually(frozenset({"nMuon", "Muon_pt"}))
    array = layer.io_func(0)
    copy = cloudpickle.loads(cloudpickle.dumps(array))
    assert copy.Muon.pt.to_list() == array.Muon.pt.to_list()


@pytest.mark.dask_awkward
def test_a_mapping_with_a_form_needs_no_finished_file(
    service: LocalServiceX, submit: Callable[..., str], nano: list[Path], in_thread: Any
):
    request_id = submit(nano, "Events")
    events = from_servicex(request_id, form=FORM, form_mapping=NestMuons())
    assert events.Muon.fields == FIELDS
    pt = in_thread(events.Muon.pt.compute)
    service.release(request_id, 0, 1)
    assert pt().to_list() == read_local(nano, "Muon_pt").Muon_pt.to_list()


@pytest.mark.dask_awkward
def test_a_mapping_gets_titles_and_types(finished: Callable[..., str], nano: list[Path]):
    forms: list[RecordForm] = []

    def mapping(form: RecordForm) -> Any:
        forms.append(form)
        return NestMuons()(form)

    from_servicex(finished(nano, "Events"), form_mapping=mapping)
    from_servicex(finished(nano, "Events"), form=FORM, form_mapping=mapping)
    from_file, from_user = (form.content("Muon_pt").parameters for form in forms)
    assert (from_file["__doc__"], from_file["typename"]) == ("Muon_pt[nMuon_pt]/F", "float[]")
    assert (from_user["__doc__"], from_user["typename"]) == ("Muon_pt", "var * float32")
    assert forms[0].parameters["typenames"]["run"] == "uint32_t"
    assert all("__doc__" in form.parameters for form in forms)


def test_an_empty_partition_has_the_type_of_the_others(
    finished: Callable[..., str], nano: list[Path]
):
    request_id = finished(nano, "Events")
    load = UprootLoadLayer(
        SXFileLayer(request_id, 3), form=FORM, form_mapping=NestMuons(), fuse=True
    )
    last = load.io_func(2)
    assert (len(last), len(last.Muon.px)) == (0, 0)
    assert last.type.content == load.io_func(0).type.content


@pytest.mark.dask_awkward
def test_a_mapping_can_replace_unread_buffers(finished: Callable[..., str], nano: list[Path]):
    class Replacing(NestMuons):
        def buffer_replacements(self, tree: Any, keys: Any, *_: Any) -> dict[str, Any]:
            total = int(ak.sum(tree["nMuon"].array()))
            return {f"{key}/data": np.full(total, 7, np.float32) for key in keys}

    events = from_servicex(finished(nano, "Events"), form=FORM, form_mapping=Replacing())
    layer = load_layer(events).project_manually(frozenset({"nMuon", "run"}))
    assert set(ak.flatten(layer.io_func(0).Muon.pt)) == {7}


@pytest.mark.dask_awkward
@pytest.mark.parametrize("kind", ROOT_FORMATS)
def test_a_mapping_reads_what_its_projection_missed(
    finished: Callable[..., str], nano: list[Path], kind: str
):
    request_id = finished(nano, "Events", result_format=kind)
    events = from_servicex(request_id, form=FORM, form_mapping=NestMuons())
    layer = load_layer(events).project_manually(frozenset({"run"}))
    partition = cloudpickle.loads(cloudpickle.dumps(layer.io_func(0)))
    whole = load_layer(events).io_func(0)
    assert partition.run.to_list() == whole.run.to_list()
    assert partition.Muon.px.to_list() == whole.Muon.px.to_list()
    assert ak.num(partition.Muon).to_list() == ak.num(whole.Muon).to_list()


@pytest.mark.dask_awkward
def test_a_mapping_checks_the_types_of_what_it_reads_late(
    finished: Callable[..., str], nano: list[Path]
):
    form = FORM.replace("Muon_pt: var * float32", "Muon_pt: var * float64")
    events = from_servicex(finished(nano, "Events"), form=form, form_mapping=NestMuons())
    partition = load_layer(events).project_manually(frozenset({"nMuon"})).io_func(0)
    with pytest.raises(SchemaMismatchError, match=r"column 'Muon_pt'.* float32.* says float64"):
        ak.sum(partition.Muon.pt)


@pytest.mark.dask_awkward
def test_a_behavior_is_added_to_that_of_the_mapping(finished: Callable[..., str], nano: list[Path]):
    request_id = finished(nano, "Events")
    events = from_servicex(request_id, form_mapping=NestMuons(), behavior={"mine": 1})
    assert dict(events.behavior or {}) == {**BEHAVIOR, "mine": 1}


def test_other_mappings_make_other_keys():
    files = SXFileLayer("R", 2)

    def name(**options: Any) -> str:
        return UprootLoadLayer(files, form=FORM, **options).name

    assert name(form_mapping=NestMuons()) == name(form_mapping=NestMuons())
    assert len({name(), name(behavior={"a": 1}), name(form_mapping=NestMuons())}) == 3
    assert tokenize(NestMuons()) == tokenize(NestMuons())


@pytest.mark.dask_awkward
@pytest.mark.parametrize(
    "form",
    [
        FORM.replace("var * float32", "var * float64", 1),
        FORM.replace("run: uint32", "run: int32"),
        FORM.replace("nMuon: int32", "nMuon: int64"),
        FORM.replace("Muon_pt", "Muon_nope"),
    ],
)
@pytest.mark.parametrize("kind", ROOT_FORMATS)
def test_a_form_that_differs_from_the_file_is_an_error(
    finished: Callable[..., str], nano: list[Path], form: str, kind: str
):
    request_id = finished(nano, "Events", result_format=kind)
    events = from_servicex(request_id, form=form, form_mapping=NestMuons())
    with pytest.raises(SchemaMismatchError, match=rf"Result .* of request {request_id}"):
        events.compute()


@pytest.mark.dask_awkward
def test_a_mapping_needs_root_files(finished: Callable[..., str], nano: list[Path]):
    request_id = finished(nano, "Events", result_format="parquet")
    for form in (None, FORM):
        with pytest.raises(InvalidArgumentError, match="form_mapping is for ROOT files"):
            from_servicex(request_id, form=form, form_mapping=NestMuons())
    load = UprootLoadLayer(
        SXFileLayer(request_id, 2), form=FORM, form_mapping=NestMuons(), fuse=True
    )
    with pytest.raises(InvalidArgumentError, match="form_mapping is for ROOT files"):
        load.io_func(0)


def test_a_mapping_must_be_callable():
    mapping: Any = {"Muon_pt": "pt"}
    with pytest.raises(InvalidArgumentError, match=r"form_mapping=.*'pt'"):
        UprootLoadLayer(SXFileLayer("R", 2), form=FORM, form_mapping=mapping)


@pytest.mark.dask_awkward
def test_a_class_is_no_form_mapping():
    schema: Any = pytest.importorskip("coffea.nanoevents").NanoAODSchema
    # Nothing is asked of the backend: there is none.
    with pytest.raises(InvalidArgumentError, match=r"nanoevents\(request_id, NanoAODSchema\)"):
        from_servicex("5f1c0d3e", form_mapping=schema)
    with pytest.raises(InvalidArgumentError, match="form_mapping=NanoAODSchema is a class"):
        UprootLoadLayer(SXFileLayer("R", 2), form=FORM, form_mapping=schema)


# coffea


@pytest.mark.dask_awkward
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ROOT_FORMATS)
def test_a_schema_of_coffea_is_a_mapping(finished: Callable[..., str], nano: list[Path], kind: str):
    factory = pytest.importorskip("coffea.nanoevents.factory")
    schema = factory.NanoAODSchema
    mapping = factory._map_schema_uproot(
        schemaclass=schema, behavior=dict(schema.behavior()), version="latest"
    )
    request_id = finished(nano, "Events", result_format=kind)

    def events(source: Any) -> Any:
        return factory.NanoEventsFactory(mapping, source, None, mode="dask").events()

    actual = events(partial(from_servicex, request_id))
    files = {str(path): "Events" for path in nano}
    expected = factory.NanoEventsFactory.from_root(files, mode="dask").events()
    assert needed_columns(actual.Muon.pt) == {"nMuon", "Muon_pt"}
    assert needed_columns(actual.Muon.matched_jet.pt) == {"nMuon", "Muon_jetIdx", "nJet", "Jet_pt"}
    for expression in (
        lambda it: it.Muon.charge,
        lambda it: (it.Muon + it.Muon).mass,
        lambda it: it.Muon.nearest(it.Jet).pt,
        lambda it: it.Muon.matched_jet.pt,
        lambda it: it,
    ):
        assert expression(actual).compute().to_list() == expression(expected).compute().to_list()
