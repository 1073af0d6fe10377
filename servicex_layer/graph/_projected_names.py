"""Names for projected layers, so that a key stands for one value.

dask-awkward projects an input layer and keeps its name. Two computations of other columns then have
tasks of the same keys, and Dask takes the value of the one for the other: a value that lacks the
columns. Here each projection gets a name of its own, and so does every layer behind it, up to the
layers that the computation returns: these hold what was asked for, whichever projection it was
computed from, so Dask may share them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, TypeAlias, runtime_checkable

import dask_awkward.lib.optimize
from dask.base import clone_key
from dask.blockwise import Blockwise
from dask.core import flatten, toposort
from dask.highlevelgraph import HighLevelGraph, Layer, MaterializedLayer
from dask_awkward.layers.layers import AwkwardMaterializedLayer, AwkwardTreeReductionLayer

from servicex_layer.graph._dask_tasks import TaskRef, forget_tasks, reference
from servicex_layer.graph._input_layer import NamedProjection
from servicex_layer.graph._task_keys import rename_keys
from servicex_layer.graph._traceable import make_traceable

__all__ = ["name_projections"]

Optimization: TypeAlias = Callable[[HighLevelGraph, Sequence[Any]], HighLevelGraph]
Names: TypeAlias = Mapping[Any, str]


@runtime_checkable
class Renamable(Protocol):
    """A layer that renames itself."""

    def renamed(self, rename: Callable[[Any], Any]) -> Layer:
        """Return a copy in which keys and names of layers are replaced by what `rename` returns."""
        ...


def name_projections() -> None:
    """Have dask-awkward name projections from now on; calling this again changes nothing.

    `dask_awkward.lib.optimize.optimize_columns` is private, and no method of a layer sees the
    layers behind it. So that function is wrapped, for graphs with a `NamedProjection`; it gets all
    others unchanged. If dask-awkward named projections itself, this module could go.
    """
    module: Any = dask_awkward.lib.optimize
    original = module.optimize_columns
    if getattr(original, "names_projections", False):
        return

    def optimize_columns(graph: HighLevelGraph, keys: Sequence[Any]) -> HighLevelGraph:
        if not any(isinstance(layer, NamedProjection) for layer in graph.layers.values()):
            unchanged: HighLevelGraph = original(graph, keys)
            return unchanged
        return _optimize_columns(original, graph, keys)

    optimize_columns.names_projections = True  # type: ignore[attr-defined]
    module.optimize_columns = optimize_columns


def _optimize_columns(
    original: Optimization, graph: HighLevelGraph, keys: Sequence[Any]
) -> HighLevelGraph:
    graph = make_traceable(graph)
    projected = original(graph, [*keys, *_bound_keys(graph)])
    requested = {_layer_name(key) for key in flatten(keys)}  # type: ignore[no-untyped-call]
    names: dict[Any, str] = {}
    layers: dict[str, Layer] = {}
    order = toposort(graph.layers, graph.dependencies)  # type: ignore[no-untyped-call]
    for name in order:
        layer = projected.layers[name]
        inputs = sorted({names[input_] for input_ in graph.dependencies[name] if input_ in names})
        seed: tuple[Hashable, ...] = tuple(inputs)
        if isinstance(layer, NamedProjection) and layer is not graph.layers[name]:
            seed = layer.projection()
        if seed and name not in requested:
            names[name] = clone_key(name, seed)
        if seed:
            layer = _rename(layer, name, names, seed)
        layers[names.get(name, name)] = layer
    dependencies = {
        names.get(name, name): {names.get(input_, input_) for input_ in inputs}
        for name, inputs in graph.dependencies.items()
    }
    return HighLevelGraph(layers, dependencies)


def _bound_keys(graph: HighLevelGraph) -> list[Any]:
    """Return the keys of the tasks that layers of this package are bound to.

    What is traced stands in for these layers and depends on nothing. Since Dask 2025.4 only the
    tasks that are needed for a key are traced.
    """
    bound_to = [getattr(layer, "bound_to", None) for layer in graph.layers.values()]
    return [key for key in bound_to if key is not None]


def _layer_name(key: Any) -> Any:
    return key[0] if isinstance(key, tuple) else key


def _rename(layer: Layer, name: str, names: dict[Any, str], seed: Hashable) -> Layer:
    """Return a copy of a layer with the new names of itself and of its inputs."""
    if isinstance(layer, Renamable):
        return layer.renamed(partial(_rename_key, names=names))
    if isinstance(layer, Blockwise):
        return _rename_blockwise(layer, names)
    if isinstance(layer, AwkwardTreeReductionLayer):
        return _rename_tree_reduction(layer, names)
    return _rename_tasks(layer, name, names, seed)


def _rename_blockwise(layer: Blockwise, names: Names) -> Blockwise:
    renamed = copy.copy(layer)
    renamed.output = names.get(layer.output, layer.output)
    renamed.task = layer.task.substitute({}, key=renamed.output)
    renamed.indices = tuple((_rename_input(input_, names), axes) for input_, axes in layer.indices)
    renamed.numblocks = {names.get(key, key): blocks for key, blocks in layer.numblocks.items()}
    forget_tasks(renamed)
    return renamed


def _rename_input(input_: Any, names: Names) -> Any:
    if isinstance(input_, TaskRef):
        return reference(_rename_key(input_.key, names))
    return names.get(input_, input_) if isinstance(input_, str) else input_


def _rename_tree_reduction(layer: Any, names: Names) -> Layer:
    renamed: Any = copy.copy(layer)
    renamed.name_input = names.get(layer.name_input, layer.name_input)
    if layer.name in names:
        renamed.name = names[layer.name]
        renamed.tree_node_name = f"tree_node-{renamed.name}"
    forget_tasks(renamed)
    layer_renamed: Layer = renamed
    return layer_renamed


def _rename_tasks(layer: Layer, name: str, names: dict[Any, str], seed: Hashable) -> Layer:
    """Rename a layer by its tasks, which may have keys that don't begin with its name."""
    tasks = dict(layer)
    if name in names:
        for other in {_layer_name(key) for key in tasks} - {name}:
            names[other] = clone_key(other, seed)
    rename = partial(_rename_key, names=names)
    renamed = {rename(key): rename_keys(tasks[key], rename, rename(key)) for key in tasks}
    if isinstance(layer, AwkwardMaterializedLayer):
        previous = [names.get(input_, input_) for input_ in layer.previous_layer_names]
        return AwkwardMaterializedLayer(
            renamed, previous_layer_names=previous, fn=layer.fn, annotations=layer.annotations
        )
    return MaterializedLayer(renamed, annotations=layer.annotations)


def _rename_key(key: Any, names: Names) -> Any:
    if type(key) is tuple and key and isinstance(key[0], str) and key[0] in names:
        return (names[key[0]], *key[1:])
    return names.get(key, key) if isinstance(key, str) else key
