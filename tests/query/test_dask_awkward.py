"""The names of dask-awkward that are not in its documented interface."""

from __future__ import annotations

from typing import Any

import awkward as ak
import dask_awkward
import pytest
from dask_awkward.lib.io.io import from_awkward

from servicex_layer.query._dask_awkward import FUNCTIONS, Literal, call_of_layer

dak: Any = dask_awkward

EVENTS = ak.Array({"x": [1.0, 2.0], "y": [[1.0], [2.0, 3.0]], "z": [[1], [2, 3]], "n": [None, 1]})
CALLS = {
    "argcartesian": lambda events: dak.argcartesian([events.y, events.z]),
    "argcombinations": lambda events: dak.argcombinations(events.y, 2),
    "argsort": lambda events: dak.argsort(events.y),
    "cartesian": lambda events: dak.cartesian([events.y, events.z]),
    "combinations": lambda events: dak.combinations(events.y, 2),
    "fill_none": lambda events: dak.fill_none(events.n, 0),
    "firsts": lambda events: dak.firsts(events.y),
    "is_none": lambda events: dak.is_none(events.n),
    "max": lambda events: dak.max(events.y, axis=1),
    "min": lambda events: dak.min(events.y, axis=1),
    "pad_none": lambda events: dak.pad_none(events.y, 2),
    "sort": lambda events: dak.sort(events.y),
    "where": lambda events: dak.where(events.x > 1, events.x, 0),
    "with_field": lambda events: dak.with_field(events, events.x, "w"),
    "with_name": lambda events: dak.with_name(events, "Event"),
    "zip": lambda events: dak.zip({"y": events.y, "z": events.z}),
    "zip_list": lambda events: dak.zip([events.y, events.z]),
}


def test_every_class_has_a_call_or_a_behavior():
    assert CALLS.keys() | {"method", "property"} == FUNCTIONS.keys()


def last_call(array: Any) -> Any:
    return call_of_layer(array.dask.layers[array.name])


@pytest.mark.parametrize("name", sorted(CALLS))
def test_a_function_of_awkward_is_recognized_in_the_graph(name: str):
    call = last_call(CALLS[name](from_awkward(EVENTS, 1)))
    assert isinstance(call.function, FUNCTIONS[name])


class Point(ak.Array):  # type: ignore[misc]
    @property
    def double(self) -> Any:
        return 2 * self.x

    def times(self, factor: float) -> Any:
        return factor * self.x


@pytest.mark.parametrize(
    ("name", "use"),
    [("property", lambda points: points.double), ("method", lambda points: points.times(3))],
)
def test_a_behavior_is_recognized_in_the_graph(name: str, use: Any):
    points = ak.Array({"x": [1.0, 2.0]}, with_name="Point", behavior={("*", "Point"): Point})
    call = last_call(use(from_awkward(points, 1)))
    assert isinstance(call.function, FUNCTIONS[name])


def test_arguments_are_names_of_layers_or_literals():
    events = from_awkward(EVENTS, 1)
    x = events.x
    call = last_call(x + 1)
    assert call.arguments == (x.name, Literal(1))
