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
from typing import Any, TypeAlias

import dask_awkward.lib.optimize
from dask.base import clone_key
from dask.blockwise import Blockwise
from dask.core import flatten, toposort
from dask.highlevelgraph import HighLevelGraph, Layer, MaterializedLayer
from dask_awkward.layers import AwkwardInputLayer
from dask_awkward.layers.layers import AwkwardMaterializedLayer, AwkwardTreeReductionLayer

from servicex_layer.graph._dask_tasks import GraphNode, TaskRef, reference
from servicex_layer.graph._joined_trace import trace_all_joined

__all__ = ["NamedProjection", "forget_tasks", "name_projections"]

Optimization: TypeAlias = Callable[[HighLevelGraph, Sequence[Any]], HighLevelGraph]
Names: TypeAlias = Mapping[Any, str]


class NamedProjection(AwkwardInputLayer):
    """An input layer whose projections get names of their own."""

    def projection(self) -> tuple[Hashable, ...]:
        """Return what tells the projections of one layer apart."""
        raise NotImplementedError

    def renamed(self, name: str) -> NamedProjection:
        """Return a copy of another name."""
        raise NotImplementedError


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
    graph = trace_all_joined(graph)
    projected = original(graph, keys)
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


def _layer_name(key: Any) -> Any:
    return key[0] if isinstance(key, tuple) else key


def _rename(layer: Layer, name: str, names: dict[Any, str], seed: Hashable) -> Layer:
    """Return a copy of a layer with the new names of itself and of its inputs."""
    if isinstance(layer, NamedProjection):
        return layer.renamed(names.get(name, name))
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
    renamed = {_rename_key(key, names): _rename_task(key, tasks[key], names) for key in tasks}
    if isinstance(layer, AwkwardMaterializedLayer):
        previous = [names.get(input_, input_) for input_ in layer.previous_layer_names]
        return AwkwardMaterializedLayer(
            renamed, previous_layer_names=previous, fn=layer.fn, annotations=layer.annotations
        )
    return MaterializedLayer(renamed, annotations=layer.annotations)


def _rename_task(key: Any, task: Any, names: Names) -> Any:
    if isinstance(task, GraphNode):
        inputs = {input_: _rename_key(input_, names) for input_ in task.dependencies}
        return task.substitute(inputs, key=_rename_key(key, names))
    # A task as Dask wrote it before 2025: a key, or a tuple of a function and arguments.
    renamed = _rename_key(task, names)
    if renamed is not task:
        return renamed
    if type(task) in (list, tuple):
        return type(task)(_rename_task(None, part, names) for part in task)
    if type(task) is dict:
        return {part: _rename_task(None, value, names) for part, value in task.items()}
    return task


def _rename_key(key: Any, names: Names) -> Any:
    if type(key) is tuple and key and isinstance(key[0], str) and key[0] in names:
        return (names[key[0]], *key[1:])
    return names.get(key, key) if isinstance(key, str) else key


def forget_tasks(layer: Layer) -> None:
    """Drop the tasks and keys that a copied layer was made with."""
    # Private attributes, in which layers of Dask and dask-awkward keep tasks once made.
    for cache in ("_cached_dict", "_cached_output_keys", "_dims"):
        layer.__dict__.pop(cache, None)
