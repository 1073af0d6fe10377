"""Computing twice is safe: every computation of an array equals that of eager awkward."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import hypothesis.strategies as st
import numpy as np
import pytest
import uproot
from dask.base import compute, persist
from dask.delayed import delayed
from dask.graph_manipulation import bind, checkpoint, clone, wait_on
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    multiple,
    rule,
    run_state_machine_as_test,
)
from optional_dask_awkward import dak  # type: ignore[import-not-found]

from servicex_layer import from_servicex

pytestmark = pytest.mark.dask_awkward

SCHEDULERS = ["sync", "threads"]
FORMATS = ["root-file", "root-rntuple", "parquet"]

# Each takes events, lazy or eager. All numbers are multiples of 0.5, so that sums are exact.
EXPRESSIONS: dict[str, Callable[[Any], Any]] = {
    "all columns": lambda events: events,
    "two columns": lambda events: events[["n", "v"]],
    "x": lambda events: events.x,
    "n": lambda events: events.n,
    "v": lambda events: events.v,
    "lengths of v": lambda events: ak.num(events.v),
    "number of events": lambda events: ak.num(events, axis=0),
    "sum of x": lambda events: ak.sum(events.x),
    "sum of v in each event": lambda events: ak.sum(events.v, axis=1),
    "x where n is odd": lambda events: events.x[events.n % 2 == 1],
    "events where n is odd": lambda events: events[events.n % 2 == 1],
    "v where v has two values": lambda events: events.v[ak.num(events.v) == 2],
    "large values of v": lambda events: events.v[events.v > 1],
    "x and v together": lambda events: events.x + events.v,
}
# Those with a value for each event, in the order of the events.
ALIGNED = ["x", "n", "lengths of v", "sum of v in each event"]


@dataclass(frozen=True)
class Pair:
    """The same values: lazy, and eager."""

    lazy: Any
    eager: Any

    def apply(self, expression: str) -> Pair:
        function = EXPRESSIONS[expression]
        return Pair(function(self.lazy), function(self.eager))


def check(computed: Any, expected: Any) -> None:
    """Compare values and types."""
    if isinstance(expected, ak.Array):
        assert computed.type == expected.type
        assert computed.to_list() == expected.to_list()
    else:
        assert computed == expected


def compute_and_check(*pairs: Pair, scheduler: str) -> None:
    computed = compute(*(pair.lazy for pair in pairs), scheduler=scheduler)
    for values, pair in zip(computed, pairs, strict=True):
        check(values, pair.eager)


@pytest.fixture
def request_pair(finished: Callable[..., str]) -> Callable[..., Pair]:
    """Submit files; return the array of the finished request, and what it must compute to."""

    def request_pair(files: list[Path], result_format: str = "root-file") -> Pair:
        request_id = finished(files, result_format=result_format)
        columns = ["x", "n", "v"]
        parts = []
        for path in files:
            with uproot.open(path) as file:
                parts.append(file["events"].arrays(columns))
        form = "{x: float64, n: int32, v: var * float64}"
        return Pair(from_servicex(request_id, form=form), ak.concatenate(parts))

    return request_pair


@pytest.fixture
def pair(request_pair: Callable[..., Pair], inputs: list[Path]) -> Pair:
    return request_pair(inputs[:2])


@pytest.fixture
def other(request_pair: Callable[..., Pair], inputs: list[Path]) -> Pair:
    return request_pair(inputs[2:])


def concatenate(*pairs: Pair) -> Pair:
    lazy = dak.concatenate([pair.lazy for pair in pairs])
    return Pair(lazy, ak.concatenate([pair.eager for pair in pairs]))


# Any sequence of computations


class Recomputation(RuleBasedStateMachine):
    """Computes, persists, clones and joins parts of two requests, in any order."""

    first: Pair
    second: Pair
    kept = Bundle("kept")

    sources = st.sampled_from(["first", "second"])
    expressions = st.sampled_from([*EXPRESSIONS])
    schedulers = st.sampled_from(SCHEDULERS)
    selections = st.lists(st.tuples(sources, expressions), min_size=1, max_size=3)

    def select(self, source: str, expression: str) -> Pair:
        pair: Pair = getattr(self, source)
        return pair.apply(expression)

    @rule(selection=selections, scheduler=schedulers)
    def compute(self, selection: list[tuple[str, str]], scheduler: str) -> None:
        compute_and_check(*(self.select(*item) for item in selection), scheduler=scheduler)

    @rule(target=kept, selection=selections, scheduler=schedulers)
    def persist(self, selection: list[tuple[str, str]], scheduler: str) -> Any:
        pairs = [self.select(*item) for item in selection]
        persisted = persist(*(pair.lazy for pair in pairs), scheduler=scheduler)
        return multiple(
            *(Pair(lazy, pair.eager) for lazy, pair in zip(persisted, pairs, strict=True))
        )

    @rule(kept=kept, selection=selections, scheduler=schedulers)
    def compute_beside_persisted(
        self, kept: Pair, selection: list[tuple[str, str]], scheduler: str
    ) -> None:
        pairs = [self.select(*item) for item in selection]
        compute_and_check(kept, *pairs, scheduler=scheduler)

    @rule(kept=consumes(kept))
    def release(self, kept: Pair) -> None:
        """Forget what was persisted."""

    @rule(
        source=sources,
        persisted=st.sampled_from(ALIGNED),
        expression=st.sampled_from(ALIGNED),
        scheduler=schedulers,
    )
    def combine_with_persisted(
        self, source: str, persisted: str, expression: str, scheduler: str
    ) -> None:
        kept, fresh = self.select(source, persisted), self.select(source, expression)
        (lazy,) = persist(kept.lazy, scheduler=scheduler)
        compute_and_check(
            Pair(ak.sum(lazy - fresh.lazy), ak.sum(kept.eager - fresh.eager)), scheduler=scheduler
        )

    @rule(source=sources, expression=expressions, beside=st.booleans(), scheduler=schedulers)
    def compute_clone(self, source: str, expression: str, beside: bool, scheduler: str) -> None:
        pair = self.select(source, expression)
        cloned = Pair(clone(pair.lazy), pair.eager)
        compute_and_check(*([cloned, pair] if beside else [cloned]), scheduler=scheduler)

    @rule(source=sources, selection=selections, scheduler=schedulers)
    def compute_beside_delayed(
        self, source: str, selection: list[tuple[str, str]], scheduler: str
    ) -> None:
        whole: Pair = getattr(self, source)
        called = Pair(delayed(lambda events: events)(whole.lazy), whole.eager)
        compute_and_check(called, *(self.select(*item) for item in selection), scheduler=scheduler)

    @rule(
        sources=st.permutations(["first", "second"]), expression=expressions, scheduler=schedulers
    )
    def compute_joined(self, sources: list[str], expression: str, scheduler: str) -> None:
        joined = concatenate(*(getattr(self, source) for source in sources))
        compute_and_check(joined.apply(expression), scheduler=scheduler)


# To explain a failure, Hypothesis traces all of Awkward: that takes minutes.
@pytest.mark.parametrize("result_format", FORMATS)
@pytest.mark.timeout(600)
def test_any_sequence_of_computations_is_right(
    request_pair: Callable[..., Pair], inputs: list[Path], result_format: str
):
    pairs = request_pair(inputs[:2], result_format), request_pair(inputs[2:], result_format)

    class OfTwoRequests(Recomputation):
        first, second = pairs

    run_state_machine_as_test(
        OfTwoRequests,
        settings=settings(
            max_examples=25,
            stateful_step_count=6,
            deadline=None,
            phases=set(Phase) - {Phase.explain},
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )


# The sequences that notebooks have


@pytest.fixture(params=SCHEDULERS)
def scheduler(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("first", EXPRESSIONS)
@pytest.mark.parametrize("second", ["all columns", "v", "x where n is odd"])
def test_persisted_values_do_not_disturb_a_second_computation(
    pair: Pair, scheduler: str, first: str, second: str
):
    kept = pair.apply(first)
    (lazy,) = persist(kept.lazy, scheduler=scheduler)
    compute_and_check(pair.apply(second), scheduler=scheduler)
    compute_and_check(Pair(lazy, kept.eager), pair.apply(second), scheduler=scheduler)


def test_two_columns_are_persisted_then_two_others_computed(pair: Pair, scheduler: str):
    kept = [pair.apply("x"), pair.apply("n")]
    persisted = persist(*(column.lazy for column in kept), scheduler=scheduler)
    compute_and_check(pair.apply("v"), pair.apply("sum of x"), scheduler=scheduler)
    for lazy, column in zip(persisted, kept, strict=True):
        compute_and_check(Pair(lazy, column.eager), scheduler=scheduler)


def test_whole_array_is_persisted_after_a_column_was(pair: Pair, scheduler: str):
    (column,) = persist(pair.apply("n").lazy, scheduler=scheduler)
    (whole,) = persist(pair.lazy, scheduler=scheduler)
    compute_and_check(
        Pair(column, pair.eager.n), Pair(whole, pair.eager), pair, scheduler=scheduler
    )


def test_lengths_are_computed_before_the_lists(pair: Pair, scheduler: str):
    (lengths,) = persist(pair.apply("lengths of v").lazy, scheduler=scheduler)
    selected = Pair(pair.lazy.v[lengths == 2], pair.eager.v[ak.num(pair.eager.v) == 2])
    compute_and_check(selected, pair.apply("v"), scheduler=scheduler)


@pytest.mark.parametrize("expressions", [["sum of x", "x"], ["sum of v in each event", "n"]])
def test_delayed_function_of_the_array_beside_its_columns(
    pair: Pair, scheduler: str, expressions: list[str]
):
    whole = Pair(delayed(lambda events: events)(pair.lazy), pair.eager)
    columns = [pair.apply(expression) for expression in expressions]
    compute_and_check(whole, *columns, scheduler=scheduler)
    compute_and_check(*columns, whole, scheduler=scheduler)


def test_dask_array_beside_columns(pair: Pair, scheduler: str):
    total = Pair(dak.to_dask_array(pair.lazy.x).sum(), np.sum(pair.eager.x))
    compute_and_check(total, pair.apply("n"), pair.apply("v"), scheduler=scheduler)
    compute_and_check(pair.apply("v"), total, scheduler=scheduler)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_joined_requests(pair: Pair, other: Pair, scheduler: str, expression: str):
    joined = concatenate(pair, other)
    compute_and_check(joined.apply(expression), scheduler=scheduler)
    compute_and_check(
        other.apply(expression), joined.apply("x"), pair.apply("n"), scheduler=scheduler
    )


def test_request_joined_with_itself(pair: Pair, scheduler: str):
    compute_and_check(concatenate(pair, pair).apply("v"), scheduler=scheduler)


MANIPULATIONS: dict[str, Callable[[Any], Any]] = {
    "clone": clone,
    "bind": lambda lazy: bind(lazy, checkpoint(lazy)),
    "wait_on": wait_on,
}


@pytest.mark.parametrize("expression", ["all columns", "x", "lengths of v", "sum of x"])
@pytest.mark.parametrize("name", MANIPULATIONS)
def test_manipulated_graphs(pair: Pair, scheduler: str, name: str, expression: str):
    plain = pair.apply(expression)
    manipulated = Pair(MANIPULATIONS[name](plain.lazy), plain.eager)
    compute_and_check(manipulated, scheduler=scheduler)
    compute_and_check(manipulated, plain, pair.apply("v"), scheduler=scheduler)


def test_checkpoint_waits_for_the_array(pair: Pair, scheduler: str):
    barrier = Pair(checkpoint(pair.lazy), None)
    compute_and_check(barrier, pair.apply("x"), scheduler=scheduler)


def test_computations_in_threads_at_the_same_time(
    pair: Pair, other: Pair, in_thread: Callable[..., Callable[[], Any]]
):
    selections = [[pair.apply("x"), other.apply("v")], [pair.apply("v")], [pair.apply("n"), other]]
    waiting = [
        in_thread(lambda pairs=pairs: compute_and_check(*pairs, scheduler="threads"))
        for pairs in selections * 3
    ]
    for wait in waiting:
        wait()
