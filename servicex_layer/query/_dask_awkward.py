"""The names of dask-awkward and Dask that are not in their documented interfaces.

`tests/query/test_dask_awkward.py` fails if a release changes them. A changed name can only lose a
cut: what isn't recognized is never pushed to ServiceX.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dask.config
from dask.highlevelgraph import HighLevelGraph
from dask_awkward.layers import AwkwardBlockwiseLayer, AwkwardInputLayer
from dask_awkward.lib import core, optimize, reducers, structure

from servicex_layer.graph import UprootLoadLayer

__all__ = ["FUNCTIONS", "LayerCall", "Literal", "call_of_layer", "needed_columns"]

FUNCTIONS: Mapping[str, type] = {
    "argcartesian": structure._ArgCartesianFn,
    "argcombinations": structure._ArgCombinationsFn,
    "argsort": structure._ArgsortFn,
    "cartesian": structure._CartesianFn,
    "combinations": structure._CombinationsFn,
    "fill_none": structure._FillNoneFn,
    "firsts": structure._FirstsFn,
    "is_none": structure._IsNoneFn,
    "max": reducers._MaxFn,
    "method": core._BehaviorMethodFn,
    "min": reducers._MinFn,
    "pad_none": structure._PadNoneFn,
    "property": core._BehaviorPropertyFn,
    "sort": structure._SortFn,
    "where": structure._WhereFn,
    "with_field": structure._WithFieldFn,
    "with_name": structure._WithNameFn,
    "zip": structure._ZipDictInputFn,
    "zip_list": structure._ZipListInputFn,
}
"""The classes whose instances stand for functions of awkward in a graph."""


@dataclass(frozen=True)
class Literal:
    """An argument that is part of the graph, not the result of another layer."""

    value: Any


@dataclass(frozen=True)
class LayerCall:
    """The call that each task of a layer makes.

    Parameters
    ----------
    function : object
        What is called.
    arguments : tuple
        Names of layers, and literals.
    keywords : dict
        Literal keyword arguments.
    """

    function: Any
    arguments: tuple[str | Literal, ...]
    keywords: dict[str, Any]


def call_of_layer(layer: Any) -> LayerCall | None:
    """Return the call of a blockwise layer of arrays; ``None`` for any other layer."""
    if not isinstance(layer, AwkwardBlockwiseLayer) or isinstance(layer, AwkwardInputLayer):
        return None
    task = layer.task
    arguments = tuple(_argument(argument, layer.indices) for argument in task.args)
    is_partial = isinstance(task.func, functools.partial)
    return None if is_partial else LayerCall(task.func, arguments, dict(task.kwargs))


def _argument(argument: Any, indices: Any) -> str | Literal:
    # Dask refers to the n-th input of a blockwise layer by a key that ends with its number.
    key = getattr(argument, "key", None)
    if not (isinstance(key, str) and key.startswith("__dask_blockwise__")):
        return Literal(argument)
    source, axes = indices[int(key.rpartition("__")[2])]
    return Literal(source) if axes is None else str(source)


def needed_columns(graph: HighLevelGraph, keys: list[Any]) -> frozenset[str]:
    """Return the columns of the results of a request that a computation of these keys reads.

    Raises
    ------
    Exception
        Whatever functions of the user raise for arrays without data.
    """
    with dask.config.set({"awkward.optimization.on-fail": "raise"}):
        # Looked up at each call: the package `graph` replaces it by a function that names layers.
        projected = optimize.optimize_columns(graph, keys)
    readers = [
        layer.io_func for layer in projected.layers.values() if isinstance(layer, UprootLoadLayer)
    ]
    return frozenset().union(*(reader.columns for reader in readers))
