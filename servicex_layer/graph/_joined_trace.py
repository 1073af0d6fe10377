"""Tracing the columns of `dak.concatenate`, of whose arrays dask-awkward traces only the first."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import awkward as ak
from awkward.contents import Content
from awkward.forms import Form, form_with_unique_keys
from awkward.index import Index
from awkward.typetracer import touch_data, typetracer_with_report
from dask.highlevelgraph import HighLevelGraph
from dask_awkward.layers.layers import AwkwardMaterializedLayer

__all__ = ["trace_all_joined"]


def trace_all_joined(graph: HighLevelGraph) -> HighLevelGraph:
    """Return a graph in which a computation on concatenated arrays touches all of them."""
    layers = {
        name: _joined(layer, graph.dependencies[name])
        if isinstance(layer, AwkwardMaterializedLayer) and len(graph.dependencies[name]) > 1
        else layer
        for name, layer in graph.layers.items()
    }
    return HighLevelGraph(layers, graph.dependencies)


def _joined(layer: AwkwardMaterializedLayer, inputs: set[str]) -> AwkwardMaterializedLayer:
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
