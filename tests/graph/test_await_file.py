from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import awkward as ak
import cloudpickle
import dask
import pytest
from dask.base import tokenize
from dask.graph_manipulation import clone
from dask.highlevelgraph import HighLevelGraph
from distributed import Client, LocalCluster
from distributed.utils import iscoroutinefunction
from optional_dask_awkward import dak  # type: ignore[import-not-found]

from servicex_layer import SXFileLayer, UprootLoadLayer, from_servicex
from servicex_layer.local import LocalServiceX

FORM = "{x: float64, n: int32, v: var * float64}"
REQUEST = "b5901cca-9858-42e7-a093-0929cf391f0e"


def test_a_call_returns_the_file_with_the_number(finished: Callable[..., str], inputs: list[Path]):
    await_file = SXFileLayer(finished(inputs), 5).await_file
    assert [await_file(number).input for number in range(4)] == list(map(str, inputs))
    assert await_file(4).number == 4
    assert not hasattr(await_file(4), "input")


def test_a_call_waits_and_measures_the_wait(
    service: LocalServiceX, submit: Callable[..., str], inputs: list[Path], in_thread: Any
):
    request_id = submit(inputs)
    result = in_thread(lambda: SXFileLayer(request_id, 4).await_file(0))
    service.release(request_id, 2)
    file = result()
    assert (file.number, file.input) == (0, str(inputs[2]))
    assert file.waited > 0


def test_distributed_takes_it_for_a_coroutine_function():
    # distributed.utils.iscoroutinefunction is private; if it changes, each wait holds a thread.
    assert iscoroutinefunction(SXFileLayer(REQUEST, 3).await_file)


@pytest.mark.parametrize("pickler", [pickle, cloudpickle])
def test_it_survives_a_pickle_with_the_same_token(pickler: Any):
    await_file = SXFileLayer(REQUEST, 3).await_file
    copy = pickle.loads(pickler.dumps(await_file))  # noqa: S301
    assert tokenize(copy) == tokenize(await_file)
    assert tokenize(copy) != tokenize(SXFileLayer(REQUEST, 4).await_file)


@pytest.fixture
def lone_worker(nothing_left: None) -> Iterator[Client]:
    """Give a cluster of one worker with one thread."""
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        yield client


def fused_by_hand(request_id: str, npartitions: int) -> Any:
    load = UprootLoadLayer(SXFileLayer(request_id, npartitions), form=FORM, fuse=True)
    graph = HighLevelGraph({load.name: load}, {load.name: set()})
    return dak.lib.core.new_array_object(
        graph, load.name, meta=load.meta, npartitions=load.npartitions
    )


# Collections whose optimization fuses a wait with what follows, and the sum of a computed one.
FUSED: dict[str, Callable[[str], Any]] = {
    "dask.array": lambda request: dak.to_dask_array(from_servicex(request, form=FORM).x).sum(),
    "dask.bag": lambda request: dak.to_dask_bag(from_servicex(request, form=FORM)).map(x_of).sum(),
    "by hand": lambda request: ak.sum(fused_by_hand(request, 4).x),
    "cloned": lambda request: ak.sum(clone(from_servicex(request, form=FORM)).x),
}
KINDS = pytest.mark.parametrize("kind", list(FUSED))
SUM_X = sum(100.0 * file + event for file in range(4) for event in range(10))


def x_of(record: Any) -> float:
    return float(record["x"])


@pytest.mark.dask_awkward
@KINDS
def test_a_wait_holds_no_thread_of_a_worker(
    kind: str,
    lone_worker: Client,
    service: LocalServiceX,
    submit: Callable[..., str],
    inputs: list[Path],
    until: Any,
):
    request_id, cancelled_id = submit(inputs), submit(inputs)
    future = lone_worker.compute(FUSED[kind](request_id))
    cancelled = lone_worker.compute(FUSED[kind](cancelled_id))
    until(lambda: waits(lone_worker) >= 2)
    assert lone_worker.submit(sum, [1, 2]).result(timeout=30) == 3
    before = waits(lone_worker)
    lone_worker.cancel(cancelled)
    until(lambda: waits(lone_worker) < before)
    assert lone_worker.submit(sum, [2, 3]).result(timeout=30) == 5
    service.release(request_id, 0, 1, 2, 3)
    assert future.result(timeout=60) == SUM_X
    until(lambda: waits(lone_worker) == 0)


def waits(client: Client) -> int:
    """Count the tasks of a cluster that run and hold no slot."""
    (count,) = client.run(lambda dask_worker: len(dask_worker.state.long_running)).values()
    return int(count)


@pytest.mark.dask_awkward
@KINDS
@pytest.mark.parametrize("scheduler", ["sync", "threads"])
def test_ctrl_c_ends_the_wait(
    kind: str,
    scheduler: str,
    submit: Callable[..., str],
    inputs: list[Path],
    interrupt: Callable[[Callable[[], Any]], None],
):
    collection = FUSED[kind](submit(inputs))
    with pytest.raises(KeyboardInterrupt):
        interrupt(partial(collection.compute, scheduler=scheduler))


def raise_lookup_error(events: Any) -> Any:
    # dask-awkward calls it with a typetracer first, to trace columns.
    if ak.backend(events) == "typetracer":
        return events
    raise LookupError("of the user's function")


@pytest.mark.dask_awkward
@pytest.mark.parametrize("kind", ["from_servicex", "by hand"])
def test_a_failed_computation_leaves_another_of_the_same_array_alone(
    kind: str,
    service: LocalServiceX,
    submit: Callable[..., str],
    inputs: list[Path],
    in_thread: Any,
    until: Any,
):
    request_id = submit(inputs)
    by_hand = kind == "by hand"
    events = fused_by_hand(request_id, 4) if by_hand else from_servicex(request_id, form=FORM)
    service.release(request_id, 0)
    failing = dak.map_partitions(raise_lookup_error, events.x, meta=events.x._meta)
    with dask.config.set({"scheduler": "threads", "num_workers": 4}):
        before = service.traffic.calls["status"]
        result = in_thread(lambda: ak.sum(events.x).compute())
        until(lambda: service.traffic.calls["status"] > before)
        with pytest.raises(LookupError, match="the user's function"):
            failing.compute()
        service.release(request_id, 1, 2, 3)
        assert result() == SUM_X
