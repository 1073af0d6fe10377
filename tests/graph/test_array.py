from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import dask
import pytest
from dask.base import compute
from dask.callbacks import Callback
from dask.highlevelgraph import HighLevelGraph
from optional_dask_awkward import dak  # type: ignore[import-not-found]

from servicex_layer import SXFileLayer, UprootLoadLayer, from_servicex
from servicex_layer.errors import FailedFilesError
from servicex_layer.local import Faults, LocalServiceX

pytestmark = pytest.mark.dask_awkward

FORM = "{x: float64, n: int32, v: var * float64}"
JETS, SUM = 36_223, 4543328.78078125


@pytest.mark.every_scheduler
def test_a_real_file_is_computed_while_its_request_runs(
    service: LocalServiceX,
    submit: Callable[..., str],
    atlas: list[Path],
    scheduler: str,
    in_thread: Any,
):
    request_id = submit(atlas, "treeme")
    service.release(request_id, 3)
    events = from_servicex(request_id, form="{JetPt: var * float64}")
    assert events.npartitions == 8
    jets = events.JetPt[events.JetPt > 100]
    assert ak.count(jets.partitions[0].compute()) == JETS

    total = in_thread(lambda: compute(ak.count(jets), ak.sum(jets)))
    service.release(request_id, 5, 0, 7)
    service.release(request_id, 1, 2, 4)
    service.release(request_id, 6)
    count, summed = total()
    assert count == 8 * JETS
    assert summed == pytest.approx(8 * SUM, rel=1e-12)


@pytest.fixture
def events(finished: Callable[..., str], inputs: list[Path]) -> Any:
    return from_servicex(finished(inputs), form=FORM)


def test_usual_operations_give_the_results_of_awkward(events: Any):
    expected = [100.0 * file + event for file in range(4) for event in range(10)]
    assert events.x.compute().to_list() == expected
    assert ak.sum(events.x).compute() == sum(expected)
    assert ak.max(events.x).compute() == 309
    assert ak.sum(events.v, axis=1).compute().to_list()[:3] == [0, 0.5, 1]
    assert events.x.partitions[1:3].compute().to_list() == expected[10:30]
    assert events[events.x > 300].x.compute().to_list() == expected[31:]
    assert events[["x", "n"]].compute().fields == ["x", "n"]
    assert dak.num(events, axis=0).compute() == 40
    assert compute(ak.sum(events.x), ak.sum(events.n)) == (sum(expected), 180)
    assert (ak.sum(events.x) - 2 * ak.sum(events.n)).compute() == sum(expected) - 360
    joined = dak.concatenate([events.x, events.n])
    assert joined.compute().to_list() == expected + 4 * list(range(10))
    persisted = events.persist()
    assert persisted.x.compute().to_list() == expected
    events.eager_compute_divisions()
    assert len(events) == 40
    assert events.x[12:15].compute().to_list() == expected[12:15]


def test_the_graph_can_be_drawn(events: Any):
    pytest.importorskip("graphviz", reason="graphviz draws the graphs")
    from dask.dot import to_graphviz as draw_tasks
    from dask.highlevelgraph import to_graphviz as draw_layers

    assert "digraph" in draw_tasks(dict(events.x.dask)).source
    assert "servicex-load" in draw_layers(events.x.dask).source


def test_two_partitions_wait_for_two_files_only(
    service: LocalServiceX, submit: Callable[..., str], inputs: list[Path]
):
    request_id = submit(inputs)
    service.release(request_id, 2)
    service.release(request_id, 1)
    events = from_servicex(request_id, form=FORM)
    assert events.x.partitions[:2].compute().to_list()[::10] == [200, 100]


def test_a_request_without_files_is_an_array_without_events(finished: Callable[..., str]):
    for form in (FORM, None):
        array = from_servicex(finished([]), form=form)
        assert len(array.compute()) == 0
    assert str(from_servicex(finished([]), form=FORM).compute().type) == f"0 * {FORM}"


@pytest.mark.filterwarnings("ignore::servicex_layer.errors.FailedFilesWarning")
def test_failed_files_are_empty_partitions_at_the_end(
    use_service: Callable[[LocalServiceX], None], inputs: list[Path]
):
    with LocalServiceX(faults=Faults(failing={0, 2})) as service:
        use_service(service)
        request_id = service.submit(inputs, tree="events", manual=True)
        service.release(request_id, 3)
        service.release(request_id, 0, 1, 2)
        events = from_servicex(request_id, form=FORM)
        counts = [len(events.partitions[number].compute()) for number in range(4)]
        assert counts == [10, 10, 0, 0]
        assert events.x.compute().to_list()[::10] == [300, 100]
        assert str(events.partitions[3].compute().type) == f"0 * {FORM}"
        strict = from_servicex(request_id, form=FORM, on_failed="raise")
        with pytest.raises(FailedFilesError, match="2 of 4 files failed"):
            strict.x.compute()


def test_a_form_can_be_an_awkward_form(finished: Callable[..., str], inputs: list[Path]):
    form = ak.forms.from_type(ak.types.from_datashape(FORM, highlevel=False))
    assert str(from_servicex(finished(inputs), form=form).compute().type) == f"40 * {FORM}"


@pytest.mark.parametrize("on_failed", ["skip", "raise"])
@pytest.mark.parametrize("form", [FORM, None], ids=["form", "no form"])
def test_a_request_whose_files_all_failed_is_an_error(
    finished: Callable[..., str], inputs: list[Path], form: str | None, on_failed: str
):
    request_id = finished(inputs, "no-such-tree")
    with pytest.raises(FailedFilesError, match="all 4 of 4 files failed") as caught:
        from_servicex(request_id, form=form, on_failed=on_failed)
    for text in (request_id, str(inputs[0]), "no-such-tree", "Logs: http"):
        assert text in str(caught.value)


@pytest.mark.parametrize("form", [FORM, None], ids=["form", "no form"])
def test_files_that_all_fail_while_they_are_waited_for_are_an_error(
    service: LocalServiceX,
    submit: Callable[..., str],
    inputs: list[Path],
    in_thread: Any,
    until: Any,
    form: str | None,
):
    request_id = submit(inputs, "no-such-tree")
    result = in_thread(lambda: from_servicex(request_id, form=form).compute(scheduler="threads"))
    before = service.traffic.calls["status"]
    until(lambda: service.traffic.calls["status"] >= before + 2)
    service.release(request_id, 0, 1, 2, 3)
    with pytest.raises(FailedFilesError, match="all 4 of 4 files failed"):
        result()


def test_a_finished_request_needs_no_layer_that_waits(
    service: LocalServiceX, submit: Callable[..., str], inputs: list[Path]
):
    request_id = submit(inputs)
    running = from_servicex(request_id, form=FORM)
    service.release(request_id, 0, 1, 2, 3)
    finished = from_servicex(request_id, form=FORM)
    assert (len(running.dask.layers), len(finished.dask.layers)) == (2, 1)
    assert running.compute().to_list() == finished.compute().to_list()


def test_layers_can_be_put_into_a_graph_by_hand(finished: Callable[..., str], inputs: list[Path]):
    files = SXFileLayer(finished(inputs), 4)
    load = UprootLoadLayer(files, form=FORM, tree="events")
    graph = HighLevelGraph(
        {files.name: files, load.name: load}, {files.name: set(), load.name: {files.name}}
    )
    graph = pickle.loads(pickle.dumps(graph))  # noqa: S301
    array = dak.lib.core.new_array_object(
        graph, load.name, meta=load.meta, npartitions=load.npartitions
    )
    assert ak.sum(array.n).compute() == 180


def test_a_branch_that_is_not_needed_is_not_read(
    finished: Callable[..., str], inputs: list[Path], stored: Any, spoil: Any
):
    request_id = finished(inputs)
    path = stored(request_id, 0)
    path.write_bytes(spoil(path.read_bytes(), "events", "n"))
    events = from_servicex(request_id, form=FORM)
    assert len(events.x.compute()) == 40


def test_one_poller_however_many_tasks_wait(
    service: LocalServiceX,
    submit: Callable[..., str],
    inputs: list[Path],
    in_thread: Any,
    until: Any,
):
    request_id = submit(inputs)
    events = from_servicex(request_id, form=FORM)
    with dask.config.set({"scheduler": "threads", "num_workers": 4}):
        total = in_thread(lambda: ak.sum(events.n).compute())
        before = service.traffic.calls["status"]
        until(lambda: service.traffic.calls["status"] >= before + 5)
        pollers = [thread for thread in threading.enumerate() if thread.name == "servicex-layer"]
        assert len(pollers) == 1
        calls = service.traffic.calls
        assert calls["results"] <= calls["status"]
        service.release(request_id, 0, 1, 2, 3)
        assert total() == 180
    assert service.traffic.calls["file-urls"] <= 4


def raise_(events: Any) -> Any:
    # dask-awkward calls it with a typetracer first, to trace columns.
    if ak.backend(events) == "typetracer":
        return events
    raise LookupError("of the user's function")


@pytest.mark.parametrize("callback_is_lost", [False, True])
def test_the_error_of_another_task_ends_the_wait(
    service: LocalServiceX,
    submit: Callable[..., str],
    inputs: list[Path],
    *,
    callback_is_lost: bool,
):
    request_id = submit(inputs)
    service.release(request_id, 0)
    events = from_servicex(request_id, form=FORM)
    failing = dak.map_partitions(raise_, events.x, meta=events.x._meta)
    if callback_is_lost:
        # As overlapping computations in several threads leave it.
        Callback.active.clear()
    with (
        dask.config.set({"scheduler": "threads", "num_workers": 4}),
        pytest.raises(LookupError, match="the user's function"),
    ):
        failing.compute()


@pytest.mark.parametrize("result_format", ["root-file", "root-rntuple", "parquet"])
def test_results_on_a_volume_are_read_without_http(
    service: LocalServiceX, finished: Callable[..., str], inputs: list[Path], result_format: str
):
    request_id = finished(inputs, result_format=result_format, result_destination="volume")
    events, report = from_servicex(request_id, report=True)
    total, records = compute(ak.sum(events.x), report, scheduler="threads")
    assert total == sum(100 * file + event for file in range(4) for event in range(10))
    assert records.requests.to_list() == [0] * 4
    assert ak.all(records.read > 0)
    assert not service.traffic.files
