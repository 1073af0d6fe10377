"""The names of dask-awkward that are not in its documented interface, a function for each use.

Its documentation doesn't cover the modules of layers and of tracing columns, and any release may
change them. `tests/graph/test_dask_awkward.py` fails if one does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import awkward as ak
from awkward.forms import Form
from dask.blockwise import BlockwiseDepDict
from dask.highlevelgraph import HighLevelGraph
from dask_awkward.layers import AwkwardInputLayer
from dask_awkward.layers.layers import AwkwardTokenizable
from dask_awkward.lib.core import Array, new_array_object
from dask_awkward.lib.utils import (
    FormStructure,
    buffer_keys_required_to_compute_shapes,
    trace_form_structure,
)
from dask_awkward.utils import LazyInputsDict

__all__ = [
    "FormStructure",
    "form_structure",
    "meta_of",
    "new_array",
    "numbered_inputs",
    "stand_in_layer",
    "touched_buffers",
]


def new_array(
    graph: HighLevelGraph, name: str, meta: ak.Array, divisions: Iterable[int | None]
) -> Array:
    """Make a dask-awkward array of the layer `name` of a graph."""
    all_divisions: Any = tuple(divisions)
    return new_array_object(graph, name, meta=meta, divisions=all_divisions)


def meta_of(array: Array) -> ak.Array:
    """Return the typetracer of an array."""
    return array._meta


def stand_in_layer(name: str, npartitions: int, value: Any, label: str) -> AwkwardInputLayer:
    """Make a layer that returns `value` from its only task, to trace which columns are touched."""
    tokenizable: Any = AwkwardTokenizable
    return AwkwardInputLayer(
        name=name,
        # dask-awkward computes partition 0 only. An array of no partitions has no task.
        inputs=[None][:npartitions],
        io_func=tokenizable(value, name),
        label=label,
    )


def numbered_inputs(npartitions: int) -> BlockwiseDepDict:
    """Make the input of a blockwise layer whose task N gets the number N."""
    numbers: Any = range(npartitions)
    inputs: Any = LazyInputsDict(numbers)
    return BlockwiseDepDict(inputs, numblocks=(npartitions,))


def form_structure(form: Form, buffer_key: Any) -> FormStructure:
    """Return the parents, paths and buffers of the nodes of a form whose nodes have keys."""
    return trace_form_structure(form, buffer_key=buffer_key)


def touched_buffers(
    report: Any, structure: FormStructure, parse_buffer_key: Callable[[str], tuple[str, str]]
) -> frozenset[str]:
    """Return the keys of the buffers that a traced computation needs.

    These are the buffers whose data it touched, and those that give the length of the buffers
    whose shape it touched.
    """
    shapes = buffer_keys_required_to_compute_shapes(
        parse_buffer_key,
        report.shape_touched,
        structure["form_key_to_parent_form_key"],
        structure["form_key_to_buffer_keys"],
    )
    return frozenset({*report.data_touched, *shapes})
