"""Layers that dask-awkward can't trace columns through, made traceable.

These are the layers of `dak.concatenate`, of whose arrays dask-awkward traces only the first, and
those that `dask.graph_manipulation` makes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import awkward as ak
from awkward.contents import Content
from awkward.forms import Form, form_with_unique_keys
from awkward.index import Index
from awkward.typetracer import touch_data, typetracer_from_form, typetracer_with_report
from dask.blockwise import Blockwise
from dask.highlevelgraph import HighLevelGraph, Layer, MaterializedLayer
from dask_awkward.layers import AwkwardBlockwiseLayer
from dask_awkward.layers.layers import AwkwardMaterializedLayer
from distributed import Future

from servicex_layer.graph._task_keys import rename_keys

__all__ = ["make_traceable"]


def make_traceable(graph: HighLevelGraph) -> HighLevelGraph:
    """Return a graph whose columns dask-awkward can trace.

    Tracing computes partition 0 of each layer, with stand-ins that have no other.
    """
    layers = {
        name: _traceable(name, layer, graph.dependencies[name])
        for name, layer in graph.layers.items()
    }
    return HighLevelGraph(layers, graph.dependencies)


def _traceable(name: str, layer: Layer, inputs: set[str]) -> Layer:
    if isinstance(layer, AwkwardMaterializedLayer):
        # Arithmetic of scalars makes such layers, too: only those of `dak.concatenate` join arrays.
        is_joined = name.startswith("concatenate-") and len(inputs) > 1
        return _joined(layer, inputs) if is_joined else layer
    if isinstance(layer, Blockwise) and not hasattr(layer, "mock"):
        # Cloning makes a plain one of dask-awkward's, which can be mocked.
        return AwkwardBlockwiseLayer.from_blockwise(layer)
    if isinstance(layer, MaterializedLayer) and not hasattr(layer, "mock"):
        return _FirstPartition(name, layer, inputs)
    return layer


class _FirstPartition(MaterializedLayer):
    """Tasks that dask-awkward can't mock: those of a cloned sum, and values that were persisted."""

    def __init__(self, name: str, layer: MaterializedLayer, inputs: set[str]) -> None:
        super().__init__(layer.mapping, annotations=layer.annotations)
        self.name = name
        self.inputs = inputs

    def mock(self) -> MaterializedLayer:
        """Return the tasks of partition 0, with partition 0 of each input."""
        requested: set[Any] = {(self.name, 0)} & self.mapping.keys()
        tasks, _ = self.cull(requested or set(self.mapping), self.mapping)
        return MaterializedLayer({key: self._mock(key, task) for key, task in tasks.items()})

    def _mock(self, key: Any, task: Any) -> Any:
        if isinstance(task, Future) and task.client is not None:
            return _typetracer_of(task)
        return rename_keys(task, self._first_partition, key)

    def _first_partition(self, key: Any) -> Any:
        if type(key) is tuple and len(key) == 2 and key[0] in self.inputs and key[1] != 0:
            return (key[0], 0)
        return key


def _typetracer_of(future: Future) -> Any:
    """Return a persisted value without its data; waits for it, as a computation does anyway."""
    form_or_value, behavior = future.client.submit(_form_and_behavior, future).result()
    if isinstance(form_or_value, Form):
        return typetracer_from_form(form_or_value, behavior=behavior)
    return form_or_value


def _form_and_behavior(value: Any) -> tuple[Any, Any]:
    if isinstance(value, ak.Array):
        return value.layout.form, value.behavior
    return value, None


def _joined(layer: AwkwardMaterializedLayer, inputs: set[str]) -> AwkwardMaterializedLayer:
    """Return a layer of concatenated arrays that is traced with all of them."""
    # `previous_layer_names` and `fn` are private: `AwkwardMaterializedLayer.mock` uses them to make
    # the task that stands for the layer while columns are traced. dask-awkward gives a function
    # only if the forms of the arrays differ: then each array is cast, which needs all of it.
    joined = copy.copy(layer)
    joined.previous_layer_names = sorted(inputs)
    joined.fn = _join if layer.fn is None else partial(_touch_all, layer.fn)
    return joined


def _touch_all(join: Callable[..., ak.Array], *metas: ak.Array) -> ak.Array:
    for meta in metas:
        touch_data(meta)
    return join(*metas)


def _join(*metas: ak.Array) -> ak.Array:
    """Return a typetracer that passes each touch on to typetracers of the same form."""
    first = metas[0]
    form = form_with_unique_keys(first.layout.form, "@")
    buffers = [dict(_buffers(meta.layout, form)) for meta in metas]
    joined, report = typetracer_with_report(
        form, highlevel=True, behavior=first.behavior, buffer_key=_BUFFER_KEY
    )
    # Both methods of awkward's TypeTracerReport are private.
    report.touch_data = partial(_touch, buffers, "touch_data")
    report.touch_shape = partial(_touch, buffers, "touch_shape")
    return joined


_BUFFER_KEY = "{form_key}/{attribute}"


def _buffers(layout: Content, form: Form) -> Iterator[tuple[str, Any]]:
    for key in form.expected_from_buffers(recursive=False, buffer_key=_BUFFER_KEY):
        _, _, attribute = key.rpartition("/")
        buffer = getattr(layout, attribute)
        yield key, buffer.data if isinstance(buffer, Index) else buffer
    if form.is_record or form.is_union:
        for content, content_form in zip(layout.contents, form.contents, strict=True):
            yield from _buffers(content, content_form)
    elif hasattr(form, "content"):
        yield from _buffers(layout.content, form.content)


def _touch(buffers: list[dict[str, Any]], method: str, key: str) -> None:
    for of_one_array in buffers:
        getattr(of_one_array[key], method)()
