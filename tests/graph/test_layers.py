from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import cloudpickle
import dask
import dask_awkward
import pytest
from dask.base import optimize
from dask.highlevelgraph import HighLevelGraph

from servicex_layer import SXFileLayer, UprootLoadLayer
from servicex_layer.errors import FormError, InvalidArgumentError
from servicex_layer.local import LocalServiceX

dak: Any = dask_awkward
FORM = "{x: float64, n: int32, v: var * float64}"
REQUEST = "b5901cca-9858-42e7-a093-0929cf391f0e"
MANY = 100_000


def graph_of(files: SXFileLayer, load: UprootLoadLayer) -> HighLevelGraph:
    return HighLevelGraph(
        {files.name: files, load.name: load}, {files.name: set(), load.name: {files.name}}
    )


def array_of(files: SXFileLayer, **options: Any) -> Any:
    load = UprootLoadLayer(files, **{"form": FORM, **options})
    graph = HighLevelGraph({load.name: load}, {load.name: set()})
    return dak.lib.core.new_array_object(
        graph if load.fuse else graph_of(files, load),
        load.name,
        meta=load.meta,
        npartitions=load.npartitions,
    )


PICKLERS = pytest.mark.parametrize("pickler", [pickle, cloudpickle])


@PICKLERS
def test_pickle_of_any_number_of_files_is_small(pickler: Any):
    files = SXFileLayer(REQUEST, MANY)
    some, _ = files.cull({(files.name, number) for number in range(70_000, 99_000)}, set())
    for layer in (files, some):
        body = pickler.dumps(layer)
        assert len(body) < 1000
        again = pickle.loads(body)  # noqa: S301
        assert (len(again), set(again)) == (len(layer), set(layer))


@PICKLERS
def test_layers_and_graph_survive_a_pickle(
    pickler: Any, finished: Callable[..., str], inputs: list[Path]
):
    array = array_of(SXFileLayer(finished(inputs), 4))
    for layer in array.dask.layers.values():
        again = pickle.loads(pickler.dumps(layer))  # noqa: S301
        assert (type(again), list(again), repr(again)) == (type(layer), list(layer), repr(layer))
    graph = pickle.loads(pickler.dumps(array.dask))  # noqa: S301
    assert set(graph) == set(array.dask)


@PICKLERS
def test_array_survives_a_pickle(pickler: Any, finished: Callable[..., str], inputs: Any):
    array = array_of(SXFileLayer(finished(inputs), 4))
    again = pickle.loads(pickler.dumps(array))  # noqa: S301
    assert again.name == array.name
    assert again.type == array.type
    assert again.x.compute(scheduler="sync").tolist() == array.x.compute(scheduler="sync").tolist()


def test_nothing_holds_a_token(service: LocalServiceX, finished: Callable[..., str], inputs: Any):
    text = service.servicex_yaml.read_text()
    token = text.partition("token:")[2].split()[0]
    assert token.count(".") == 2
    array = array_of(SXFileLayer(finished(inputs), 4))
    array.x.compute(scheduler="sync")
    layers = list(array.dask.layers.values())
    tasks = dict(array.dask)
    for value in [array, array.dask, tasks, *layers, *tasks.values()]:
        assert token not in f"{value!r} {value}"
    for value in [array, array.dask, tasks, *layers, *tasks.values()]:
        for body in (pickle.dumps(value), cloudpickle.dumps(value)):
            assert token.encode() not in body
            assert service.url.encode() not in body


def keys(request_id: str = REQUEST, npartitions: int = 3, **options: Any) -> set[str]:
    of_files = {name: options.pop(name) for name in ("backend", "on_failed") if name in options}
    files = SXFileLayer(request_id, npartitions, **of_files)
    load = UprootLoadLayer(files, **{"form": FORM, **options})
    return {files.name, load.name}


CHANGES: list[dict[str, Any]] = [
    {"request_id": "another"},
    {"npartitions": 4},
    {"backend": "another"},
    {"on_failed": "raise"},
]
CHANGES_OF_READING: list[dict[str, Any]] = [
    {"form": "{x: float64}"},
    {"tree": "events"},
    {"fuse": True},
]


def test_same_arguments_have_the_same_keys():
    assert keys() == keys()
    assert keys(form=ak.forms.from_type(ak.types.from_datashape(FORM, highlevel=False))) == keys()


@pytest.mark.parametrize("change", CHANGES)
def test_other_requests_have_other_keys(change: dict[str, Any]):
    assert not keys(**change) & keys()


@pytest.mark.parametrize("change", CHANGES_OF_READING)
def test_other_readings_have_other_keys_but_wait_for_the_same(change: dict[str, Any]):
    assert {name.rpartition("-")[0] for name in keys(**change) & keys()} == {"servicex-file"}


def test_keys_are_the_same_in_another_process():
    code = (
        "import json; from servicex_layer import SXFileLayer, UprootLoadLayer; "
        f"files = SXFileLayer({REQUEST!r}, 3); "
        f"print(json.dumps([files.name, UprootLoadLayer(files, form={FORM!r}).name]))"
    )
    env = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(sys.path)}
    answer = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code], env=env, check=True, capture_output=True, text=True
    )
    assert set(json.loads(answer.stdout)) == keys()


def test_layer_is_a_mapping_of_its_tasks():
    files = SXFileLayer(REQUEST, 3)
    expected = [(files.name, number) for number in range(3)]
    assert list(files) == list(files.keys()) == expected
    assert dict(files).keys() == files.get_output_keys() == set(expected)
    assert not files.is_materialized()
    wrong: Any
    for wrong in [(files.name, 3), (files.name, -1), ("other", 0), files.name, (files.name, "0")]:
        assert wrong not in files
        with pytest.raises(KeyError):
            files[wrong]
    assert len(SXFileLayer(REQUEST, 0)) == 0


@pytest.mark.parametrize("numbers", [[], [0], [2, 3, 4], [1, 4], range(10)])
def test_cull_keeps_what_is_asked_for(numbers: list[int]):
    files = SXFileLayer(REQUEST, 10)
    wanted: set[Any] = {(files.name, number) for number in numbers}
    culled, dependencies = files.cull(wanted | {("other", 1)}, set())
    assert (set(culled), len(culled), culled.name) == (wanted, len(numbers), files.name)
    assert dependencies == {key: set() for key in wanted}
    assert all(key in culled for key in wanted)
    assert (files.name, 9) in files
    assert set(culled.cull(wanted, set())[0]) == wanted


def test_cull_of_a_graph_keeps_the_files_that_are_read():
    files = SXFileLayer(REQUEST, 10)
    load = UprootLoadLayer(files, form=FORM)
    culled = graph_of(files, load).cull({(load.name, 3), (load.name, 7)})
    assert set(culled) == {(name, n) for name in (files.name, load.name) for n in (3, 7)}


def test_mock_waits_for_nothing():
    files = SXFileLayer(REQUEST, MANY)
    assert dict(files.mock()) == {(files.name, 0): None}


def test_columns_that_are_needed():
    array = array_of(SXFileLayer("no such request", 3))
    assert columns(array.v[array.x > 3]) == {"v", "x"}
    assert columns(array.n) == {"n"}
    assert columns(dak.num(array.v)) == {"v"}
    assert columns(array) == {"x", "n", "v"}


def columns(array: Any) -> frozenset[str]:
    (names,) = dak.necessary_columns(array).values()
    return frozenset(names)


def test_optimization_leaves_only_needed_columns_in_the_reader():
    array = array_of(SXFileLayer("no such request", 3))
    (optimized,) = optimize(array.v + 1)
    readers = [
        layer.io_func
        for layer in dak.lib.optimize.optimize_columns(
            (array.v + 1).dask, (array.v + 1).__dask_keys__()
        ).layers.values()
        if isinstance(layer, UprootLoadLayer)
    ]
    assert [reader.columns for reader in readers] == [frozenset({"v"})]
    assert optimized.npartitions == 3


@pytest.mark.parametrize("scheduler", ["sync", "threads", "processes"])
def test_fused_and_unfused_give_the_same(
    finished: Callable[..., str], inputs: list[Path], scheduler: Any
):
    files = SXFileLayer(finished(inputs), 4)
    apart, fused = array_of(files), array_of(files, fuse=True)
    assert len(fused.dask) < len(apart.dask)
    with dask.config.set(scheduler=scheduler):
        for one, other in [(apart, fused), (apart.v[apart.x > 3], fused.v[fused.x > 3])]:
            assert one.compute().to_list() == other.compute().to_list()


def test_behavior_goes_along(finished: Callable[..., str], inputs: list[Path]):
    class Event(ak.Record):  # type: ignore[misc]
        @property
        def double(self) -> Any:
            return 2 * self.x

    class EventArray(ak.Array):  # type: ignore[misc]
        @property
        def double(self) -> Any:
            return 2 * self.x

    behavior = {"event": Event, ("*", "event"): EventArray}
    array = array_of(SXFileLayer(finished(inputs), 4), behavior=behavior)
    named = dak.with_name(array, "event", behavior=behavior)
    assert named.double.compute(scheduler="sync").to_list() == (2 * array.x).compute().to_list()


def test_repr_says_what_it_is():
    files = SXFileLayer(REQUEST, 5)
    assert REQUEST in repr(files)
    assert "5" in repr(files)
    assert REQUEST in repr(UprootLoadLayer(files, form=FORM))


@pytest.mark.parametrize("npartitions", [-1, 1.0, "3", None, True, 2.5])
def test_number_of_partitions_that_is_none(npartitions: Any):
    with pytest.raises(InvalidArgumentError, match="npartitions") as caught:
        SXFileLayer(REQUEST, npartitions)
    assert repr(npartitions) in str(caught.value)


@pytest.mark.parametrize("request_id", ["", None, 5, b"id"])
def test_request_that_is_none(request_id: Any):
    with pytest.raises(InvalidArgumentError, match="request_id"):
        SXFileLayer(request_id, 3)


def test_other_impossible_arguments():
    with pytest.raises(InvalidArgumentError, match="on_failed='ignore'"):
        SXFileLayer(REQUEST, 3, on_failed="ignore")
    with pytest.raises(FormError, match="no datashape"):
        UprootLoadLayer(SXFileLayer(REQUEST, 3), form="{")


def test_the_notebook_view_says_what_is_in_them():
    files = SXFileLayer("5f1c<0d3e>", 3, backend="uc-af")
    load = UprootLoadLayer(files, form="{JetPt: var * float64, met: float32}", tree="treeme")
    graph = HighLevelGraph(
        {files.name: files, load.name: load}, {files.name: set(), load.name: {files.name}}
    )
    page = graph._repr_html_()
    for told in ("5f1c&lt;0d3e&gt;", "uc-af", "treeme", "JetPt, met", "var * float64"):
        assert told in page
    projected = load.project_manually(frozenset({"met"}))
    assert projected.layer_info_dict()["columns"] == "met"
    many = UprootLoadLayer(files, form={f"x{number}": "float64" for number in range(2000)})
    assert len(many.layer_info_dict()["columns"]) <= 400
