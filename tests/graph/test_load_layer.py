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
import pytest
from dask.base import annotate
from dask.highlevelgraph import HighLevelGraph
from optional_dask_awkward import dak  # type: ignore[import-not-found]

from servicex_layer import SXFileLayer, UprootLoadLayer
from servicex_layer.errors import FormError
from servicex_layer.local import LocalServiceX

FORM = "{x: float64, n: int32, v: var * float64}"
REQUEST = "b5901cca-9858-42e7-a093-0929cf391f0e"

PICKLERS = pytest.mark.parametrize("pickler", [pickle, cloudpickle])


@pytest.mark.dask_awkward
@PICKLERS
def test_layers_and_graph_survive_a_pickle(pickler: Any, array_by_hand: Callable[..., Any]):
    array = array_by_hand(SXFileLayer(REQUEST, 4))
    for layer in array.dask.layers.values():
        copy = pickle.loads(pickler.dumps(layer))  # noqa: S301
        assert (type(copy), list(copy), repr(copy)) == (type(layer), list(layer), repr(layer))
    graph = pickle.loads(pickler.dumps(array.dask))  # noqa: S301
    assert set(graph) == set(array.dask)


@pytest.mark.dask_awkward
def test_no_layer_task_or_repr_holds_a_token(
    service: LocalServiceX,
    finished: Callable[..., str],
    inputs: list[Path],
    array_by_hand: Callable[..., Any],
):
    text = service.servicex_yaml.read_text()
    token = text.partition("token:")[2].split()[0]
    assert token.count(".") == 2
    array = array_by_hand(SXFileLayer(finished(inputs), 4))
    array.x.compute(scheduler="sync")
    layers = list(array.dask.layers.values())
    tasks = dict(array.dask)
    for value in [array, array.dask, tasks, *layers, *tasks.values()]:
        assert token not in f"{value!r} {value}"
    for value in [array, array.dask, tasks, *layers, *tasks.values()]:
        for body in (pickle.dumps(value), cloudpickle.dumps(value)):
            assert token.encode() not in body


def name(**options: Any) -> str:
    return UprootLoadLayer(SXFileLayer(REQUEST, 3), **{"form": FORM, **options}).name


def test_same_arguments_make_the_same_keys():
    form = ak.forms.from_type(ak.types.from_datashape(FORM, highlevel=False))
    assert name() == name() == name(form=form)


@pytest.mark.parametrize("change", [{"form": "{x: float64}"}, {"tree": "events"}, {"fuse": True}])
def test_other_arguments_make_other_keys(change: dict[str, Any]):
    assert name(**change) != name()


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
    assert json.loads(answer.stdout) == [SXFileLayer(REQUEST, 3).name, name()]


def test_cull_of_a_graph_keeps_the_files_that_are_read(
    graph_by_hand: Callable[..., HighLevelGraph],
):
    files = SXFileLayer(REQUEST, 10)
    load = UprootLoadLayer(files, form=FORM)
    culled = graph_by_hand(files, load).cull({(load.name, 3), (load.name, 7)})
    assert set(culled) == {(name, n) for name in (files.name, load.name) for n in (3, 7)}


@pytest.mark.dask_awkward
def test_optimization_leaves_only_needed_columns_in_the_reader(array_by_hand: Callable[..., Any]):
    array = array_by_hand(SXFileLayer("no such request", 3)).v + 1
    graph = dak.lib.optimize.optimize_columns(array.dask, array.__dask_keys__())
    (load,) = (layer for layer in graph.layers.values() if isinstance(layer, UprootLoadLayer))
    assert load.layer_info_dict()["columns"] == "v"


@pytest.mark.dask_awkward
@pytest.mark.parametrize("scheduler", ["sync", "threads", "processes"])
def test_fused_and_unfused_layers_read_the_same(
    finished: Callable[..., str],
    inputs: list[Path],
    array_by_hand: Callable[..., Any],
    scheduler: Any,
):
    files = SXFileLayer(finished(inputs), 4)
    unfused, fused = array_by_hand(files), array_by_hand(files, fuse=True)
    assert len(fused.dask) < len(unfused.dask)
    with dask.config.set(scheduler=scheduler):
        assert unfused.compute().to_list() == fused.compute().to_list()
        selected = unfused.v[unfused.x > 3], fused.v[fused.x > 3]
        assert selected[0].compute().to_list() == selected[1].compute().to_list()


@pytest.mark.dask_awkward
def test_the_behavior_applies_to_computed_records(
    finished: Callable[..., str], inputs: list[Path], array_by_hand: Callable[..., Any]
):
    class Event(ak.Record):  # type: ignore[misc]
        @property
        def double(self) -> Any:
            return 2 * self.x

    class EventArray(ak.Array):  # type: ignore[misc]
        @property
        def double(self) -> Any:
            return 2 * self.x

    behavior = {"event": Event, ("*", "event"): EventArray}
    array = array_by_hand(SXFileLayer(finished(inputs), 4), behavior=behavior)
    named = dak.with_name(array, "event", behavior=behavior)
    assert named.double.compute(scheduler="sync").to_list() == (2 * array.x).compute().to_list()


def test_the_repr_names_the_request():
    assert REQUEST in repr(UprootLoadLayer(SXFileLayer(REQUEST, 5), form=FORM))


def test_a_form_must_be_a_datashape_of_a_record():
    with pytest.raises(FormError, match="datashape"):
        UprootLoadLayer(SXFileLayer(REQUEST, 3), form="{")


def test_the_notebook_view_shows_request_tree_and_columns(
    graph_by_hand: Callable[..., HighLevelGraph],
):
    files = SXFileLayer("5f1c<0d3e>", 3, backend="uc-af")
    load = UprootLoadLayer(files, form="{JetPt: var * float64, met: float32}", tree="treeme")
    page = graph_by_hand(files, load)._repr_html_()
    for text in ("5f1c&lt;0d3e&gt;", "uc-af", "treeme", "JetPt, met", "var * float64"):
        assert text in page
    projected = load.project_manually(frozenset({"met"}))
    assert projected.layer_info_dict()["columns"] == "met"
    many = UprootLoadLayer(files, form={f"x{number}": "float64" for number in range(2000)})
    assert len(many.layer_info_dict()["columns"]) <= 400


@pytest.mark.parametrize("fuse", [False, True])
def test_a_clone_reads_through_keys_of_its_own(
    graph_by_hand: Callable[..., HighLevelGraph], fuse: bool
):
    files = SXFileLayer(REQUEST, 3)
    load = UprootLoadLayer(files, form=FORM, fuse=fuse)
    keys = set(load) | set(() if fuse else files)
    clone, is_bound = load.clone(keys, seed="seed", bind_to="checkpoint")
    assert not set(clone) & set(load)
    # Only a leaf of the graph is bound.
    assert is_bound == fuse
    inputs = set[Any]().union(*(task.dependencies for task in dict(clone).values()))
    assert inputs == ({"checkpoint"} if fuse else set(clone.files))
    assert clone.project_manually(frozenset({"x"})).layer_info_dict()["columns"] == "x"


def test_annotations_survive_a_projection():
    with annotate(priority=5):
        load = UprootLoadLayer(SXFileLayer(REQUEST, 3), form=FORM)
    assert load.project_manually(frozenset({"x"})).annotations == {"priority": 5}
