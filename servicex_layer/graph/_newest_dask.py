"""dask-awkward 2026.2 with the Dask that it excludes: 2025.4 and later.

`docs/newest-dask.md` describes each change as a patch of dask-awkward. A release of dask-awkward
that allows the newest Dask needs none of it, and gets none: this module can then be deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from importlib.metadata import requires
from typing import Any

import awkward as ak
import dask
import dask_awkward.lib.optimize
from awkward.typetracer import typetracer_from_form
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer
from dask_awkward.lib.core import Array
from distributed import Future
from packaging.requirements import Requirement

from servicex_layer.graph._dask_awkward import meta_of
from servicex_layer.graph._dask_tasks import GraphNode, TaskRef

__all__ = ["PersistedLayer", "support_newest_dask"]

Optimization = Callable[[HighLevelGraph, Sequence[Any]], HighLevelGraph]

# Dask's class `HLGFinalizeCompute` makes these names, which are keys as well.
_FINALIZE = "finalize-hlgfinalizecompute-"


def support_newest_dask() -> None:
    """Make the changes in dask-awkward, if it excludes the installed Dask."""
    if not _dask_is_excluded():
        return
    module: Any = dask_awkward.lib.optimize
    # Since Dask 2025.5 the arguments of a task hold a TaskRef for another task. That is no
    # GraphNode, as the Alias before it was. Blockwise layers are fused by such arguments.
    module.GraphNode = (GraphNode, TaskRef)
    module.optimize_columns = _without_finalize_layers(module.optimize_columns)
    array: Any = Array
    array._rebuild = _with_form_of_persisted(array._rebuild)


def _dask_is_excluded() -> bool:
    requirements = map(Requirement, requires("dask-awkward") or ())
    return any(
        each.name == "dask" and not each.extras and dask.__version__ not in each.specifier
        for each in requirements
    )


def _without_finalize_layers(optimize_columns: Optimization) -> Optimization:
    """Return a function that hides Dask's finalize layers from `optimize_columns`.

    Since Dask 2025.4 a graph has the task that makes the result of all partitions before it is
    optimized. dask-awkward traces columns with partition 0 only, and that task needs the others.
    """

    @wraps(optimize_columns)
    def optimize(graph: HighLevelGraph, keys: Sequence[Any]) -> HighLevelGraph:
        finalize: set[Any] = {key for key in keys if str(key).startswith(_FINALIZE)}
        collection_keys = [key for key in keys if key not in finalize]
        for name in finalize:
            collection_keys += graph.layers[name][name].dependencies
        optimized = optimize_columns(_without(graph, finalize), collection_keys)
        layers, dependencies = dict(optimized.layers), dict(optimized.dependencies)
        for name in finalize:
            layers[name], dependencies[name] = graph.layers[name], graph.dependencies[name]
        return HighLevelGraph(layers, dependencies)

    return optimize


def _without(graph: HighLevelGraph, names: set[Any]) -> HighLevelGraph:
    layers = {name: layer for name, layer in graph.layers.items() if name not in names}
    return HighLevelGraph(layers, {name: graph.dependencies[name] for name in layers})


class PersistedLayer(MaterializedLayer):
    """Partitions in the memory of a cluster, with the form of their array.

    Since Dask 2025.4 columns are traced on the scheduler, which can't ask a worker for the form.

    Parameters
    ----------
    futures : mapping
        The partitions by their keys.
    meta : awkward.Array
        The typetracer of the array.
    """

    def __init__(self, futures: Mapping[Any, Future], meta: ak.Array) -> None:
        super().__init__(futures)
        self.form = meta.layout.form
        self.behavior = meta.behavior

    def mock(self) -> MaterializedLayer:
        """Return partition 0 without its data, to trace columns with."""
        name, _ = next(iter(self.mapping))
        return MaterializedLayer(
            {(name, 0): typetracer_from_form(self.form, behavior=self.behavior)}
        )


def _with_form_of_persisted(rebuild: Callable[..., Array]) -> Callable[..., Array]:
    """Return the method of arrays that `persist` calls, with a layer that can be mocked."""

    @wraps(rebuild)
    def _rebuild(self: Array, dsk: Any, *, rename: Any = None) -> Array:
        if isinstance(dsk, HighLevelGraph) or not all(map(_is_future, dsk.values())):
            return rebuild(self, dsk, rename=rename)
        (name,) = {name for name, _ in dsk}
        layer = PersistedLayer(dsk, meta_of(self))
        return rebuild(self, HighLevelGraph({name: layer}, {name: set()}), rename=rename)

    return _rebuild


def _is_future(value: object) -> bool:
    return isinstance(value, Future)
