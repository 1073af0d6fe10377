"""An array can be computed several times, of any columns, in any order and at the same time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import dask
import numpy as np
import pytest
from dask.base import compute, optimize, persist
from dask.delayed import delayed
from dask.graph_manipulation import bind, checkpoint, clone, wait_on
from distributed import Client
from optional_dask_awkward import dak  # type: ignore[import-not-found]

from servicex_layer import UprootLoadLayer, from_servicex
from servicex_layer.local import LocalServiceX

pytestmark = pytest.mark.dask_awkward

FORM = "{x: float64, n: int32, v: var * float64}"
X = [100.0 * file + event for file in range(4) for event in range(10)]
SUM_X, SUM_N = sum(X), 180
SUM_V = float(sum((file + 0.5) * (event % 3) for file in range(4) for event in range(10)))
COUNT_V = sum(event % 3 for _ in range(4) for event in range(10))

SCHEDULERS = pytest.mark.parametrize(
    "scheduler", ["sync", "threads", "cluster_of_processes"], indirect=True
)


@pytest.fixture(params=["running", "finished"])
def request_id(
    request: pytest.FixtureRequest,
    service: LocalServiceX,
    submit: Callable[..., str],
    inputs: list[Path],
) -> str:
    """Submit a request whose files are all there; it may be over only once an array is made."""
    request_id = submit(inputs)
    if request.param == "finished":
        service.release(request_id, 0, 1, 2, 3)
    return request_id


@pytest.fixture
def events(
    request: pytest.FixtureRequest, service: LocalServiceX, request_id: str, scheduler: str
) -> Any:
    events = from_servicex(request_id, form=FORM)
    if request.node.callspec.params["request_id"] == "running":
        service.release(request_id, 0, 1, 2, 3)
    return events


def sums(events: Any) -> list[Any]:
    return [ak.sum(events.x), ak.sum(events.n), ak.sum(events.v), ak.count(events.v)]


SUMS = [SUM_X, SUM_N, SUM_V, COUNT_V]


@SCHEDULERS
def test_computations_of_different_columns_follow_each_other(events: Any):
    for left, right in [(0, 1), (2, 3), (3, 0), (1, 2)]:
        expected = [SUMS[left], SUMS[right]]
        assert [*compute(sums(events)[left], sums(events)[right])] == expected


CLUSTER = pytest.mark.parametrize("scheduler", ["cluster_of_processes"], indirect=True)


@CLUSTER
@pytest.mark.parametrize("release", ["before", "after"])
def test_computations_of_different_columns_overlap_on_a_cluster(
    service: LocalServiceX,
    submit: Callable[..., str],
    inputs: list[Path],
    scheduler: str,
    release: str,
):
    request_id = submit(inputs)
    events = from_servicex(request_id, form=FORM)
    selected = events[events.x > 5]
    client = Client.current()
    if release == "before":
        service.release(request_id, 0, 1, 2, 3)
    first = client.compute([ak.sum(events.x), ak.sum(selected.x), ak.sum(selected.n)])
    second = client.compute([ak.sum(events.n), ak.sum(selected.v), ak.count(selected.v)])
    if release == "after":
        service.release(request_id, 0, 1, 2, 3)
    eager = ak.Array({"x": X, "n": [*range(10)] * 4, "v": lists()})
    chosen = eager[eager.x > 5]
    assert client.gather(first) == [SUM_X, ak.sum(chosen.x), ak.sum(chosen.n)]
    assert client.gather(second) == [SUM_N, ak.sum(chosen.v), ak.count(chosen.v)]


def lists() -> list[list[float]]:
    return [[file + 0.5] * (event % 3) for file in range(4) for event in range(10)]


@CLUSTER
def test_futures_of_an_earlier_computation_do_not_disturb_a_later_one(events: Any):
    client = Client.current()
    futures = client.compute(sums(events)[:2])
    assert client.gather(futures) == SUMS[:2]
    assert client.gather(client.compute(sums(events)[2:])) == SUMS[2:]


@CLUSTER
def test_a_cancelled_computation_does_not_disturb_a_later_one(events: Any):
    client = Client.current()
    futures = client.compute(sums(events)[:2])
    client.cancel(futures)
    assert client.gather(client.compute(sums(events)[2:])) == SUMS[2:]


@SCHEDULERS
def test_other_columns_are_computed_after_some_were_persisted(events: Any):
    x, n = persist(events.x, events.n)
    assert [*compute(ak.sum(events.v), ak.count(events.v))] == SUMS[2:]
    assert [*compute(ak.sum(x), ak.sum(n))] == SUMS[:2]
    assert ak.sum(abs(events.x - x)).compute() == 0


@SCHEDULERS
def test_the_whole_array_is_computed_after_one_column(events: Any):
    assert ak.sum(events.x).compute() == SUM_X
    persisted = events.persist()
    assert persisted.v.compute().to_list() == lists()
    assert events.compute().x.to_list() == X


@CLUSTER
def test_the_whole_array_is_computed_beside_one_column(events: Any):
    client = Client.current()
    one, whole = client.compute(ak.sum(events.x)), client.compute(events)
    assert (one.result(), whole.result().v.to_list()) == (SUM_X, lists())


@SCHEDULERS
def test_lists_are_computed_after_their_lengths(events: Any):
    assert ak.num(events.v).compute().to_list() == [event % 3 for event in range(10)] * 4
    assert events.v.compute().to_list() == lists()


# Collections of one kind stand together below: Dask 2026.8 mixes up the results of others, as
# test_newest_dask.py shows.


def total_n(events: Any) -> int:
    return int(ak.sum(events.n))


@SCHEDULERS
def test_a_delayed_function_of_the_array_is_computed_beside_sums(events: Any):
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        collections = [delayed(total_n)(events), ak.sum(events.x), ak.sum(events.n)]
        expected = [SUM_N, SUM_X, SUM_N]
        results = compute(*(collections[place] for place in order))
        assert [*results] == [expected[place] for place in order]


@SCHEDULERS
def test_sums_are_computed_beside_histograms_and_dask_arrays(events: Any):
    histograms = pytest.importorskip("hist.dask")
    from hist import axis

    x = from_delayed_blocks(events.x)
    histogram = histograms.Hist(axis.Regular(10, 0, 400, name="x")).fill(events.x)
    for order in ([0, 2, 1], [2, 0, 1], [1, 0, 2]):
        collections = [histogram, x.sum(), ak.sum(events.n)]
        results = dict(zip(order, compute(*(collections[place] for place in order)), strict=True))
        assert results[0].sum() == 40
        assert (results[1], results[2]) == (SUM_X, SUM_N)


def from_delayed_blocks(array: Any) -> Any:
    return dak.to_dask_array(array)


@SCHEDULERS
@pytest.mark.parametrize("same_form", [True, False])
def test_concatenated_requests_are_computed_by_column(
    service: LocalServiceX,
    submit: Callable[..., str],
    inputs: list[Path],
    scheduler: str,
    same_form: bool,
):
    ids = [submit(inputs), submit(inputs)]
    forms = [FORM, FORM if same_form else FORM.replace("int32", "int64")]
    pair = [from_servicex(one, form=form) for one, form in zip(ids, forms, strict=True)]
    joined = dak.concatenate(pair)
    for one in ids:
        service.release(one, 0, 1, 2, 3)
    assert ak.sum(joined.x).compute() == 2 * SUM_X
    assert [*compute(*sums(joined))] == [2 * total for total in SUMS]
    assert joined.v.compute().to_list() == 2 * lists()
    assert joined[joined.x > 300].n.compute().to_list() == 2 * [*range(1, 10)]
    triple = dak.concatenate([joined, pair[0]])
    assert ak.sum(triple.n).compute() == 3 * SUM_N
    assert ak.sum(dak.concatenate([pair[0].x, pair[1].x + 1])).compute() == 2 * SUM_X + 40


@SCHEDULERS
def test_cloned_bound_and_checkpointed_graphs_are_computed(events: Any):
    x = ak.sum(events.x)
    copy = clone(events)
    assert ak.sum(copy.x).compute() == SUM_X
    assert [*compute(ak.sum(copy.n), x)] == [SUM_N, SUM_X]
    assert [*compute(clone(x), x, ak.sum(copy.v))] == [SUM_X, SUM_X, SUM_V]
    after = bind(events, ak.sum(events.n))
    assert [*compute(ak.sum(after.x), x)] == [SUM_X, SUM_X]
    waited = wait_on(events)
    assert [*compute(ak.sum(waited.v), x)] == [SUM_V, SUM_X]
    assert compute(checkpoint(x), x)[1] == SUM_X
    assert compute(checkpoint(events), ak.sum(events.n))[1] == SUM_N


@CLUSTER
def test_the_cluster_computes_on_after_a_clone(events: Any):
    client = Client.current()
    assert client.gather(client.compute([clone(ak.sum(events.x)), ak.sum(events.x)])) == [SUM_X] * 2
    assert client.submit(sum, [1, 2]).result(timeout=30) == 3


def layer_names(array: Any) -> set[str]:
    graph = dak.lib.optimize.optimize_columns(array.dask, array.__dask_keys__())
    return set(graph.layers)


def test_each_projection_has_keys_of_its_own_up_to_the_result(finished: Any, inputs: list[Path]):
    events = from_servicex(finished(inputs), form=FORM)
    selected = events[events.x > 5]
    by_x, by_n = layer_names(selected.x), layer_names(selected.n)
    assert not by_x & by_n
    assert selected.x.name in by_x
    assert layer_names(selected.x) == by_x
    # The whole array is nobody's projection.
    assert layer_names(events) == {events.name}


def test_an_optimized_array_can_be_computed_further(finished: Any, inputs: list[Path]):
    events = from_servicex(finished(inputs), form=FORM)
    x, v = optimize(events.x, events.v)
    assert compute(ak.sum(x), ak.sum(v), ak.sum(events.n)) == (SUM_X, SUM_V, SUM_N)


def test_scalars_and_repartitioned_arrays_keep_their_inputs(finished: Any, inputs: list[Path]):
    events = from_servicex(finished(inputs), form=FORM)
    with dask.config.set(scheduler="sync"):
        above = events.x[events.x > ak.max(events.n)]
        assert above.compute().to_list() == [x for x in X if x > 9]
        events.eager_compute_divisions()
        halves = events.repartition(npartitions=2)
        assert ak.sum(halves.x).compute() == SUM_X
        assert events[7:23].n.compute().to_list() == [7, 8, 9, *range(10), 0, 1, 2]
        scale = delayed(float)(2)
        doubled = dak.map_partitions(np.multiply, events.x, scale, meta=events.x._meta)
        assert ak.sum(doubled).compute() == 2 * SUM_X


def test_other_graphs_are_untouched():
    array = dak.from_awkward(ak.Array({"x": X, "n": X}), npartitions=4)
    assert layer_names(array.x + 1) == set((array.x + 1).dask.layers)
    assert not any(isinstance(layer, UprootLoadLayer) for layer in array.dask.layers.values())
