"""The names of dask-awkward that are not in its documented interface, a function for each use.

Its documentation doesn't cover the modules of layers and of tracing columns, and any release may
change them. `tests/graph/test_dask_awkward.py` fails if one does.

dask-awkward is an extra, so each function imports what it uses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import awkward as ak
from awkward.forms import Form
from dask.highlevelgraph import HighLevelGraph

from servicex_layer.errors import MissingExtraError

if TYPE_CHECKING:
    from dask_awkward.layers import AwkwardInputLayer
    from dask_awkward.lib.core import Array
    from dask_awkward.lib.utils import FormStructure

__all__ = [
    "HAS_DASK_AWKWARD",
    "form_structure",
    "meta_of",
    "new_array",
    "parse_buffer_key",
    "require_dask_awkward",
    "stand_in_layer",
    "touched_buffers",
]

HAS_DASK_AWKWARD = find_spec("dask_awkward") is not None


def require_dask_awkward(name: str) -> None:
    """Check that dask-awkward is installed, for the function with this name.

    Raises
    ------
    MissingExtraError
        If it isn't.
    """
    if not HAS_DASK_AWKWARD:
        raise MissingExtraError(
            f"{name} needs dask-awkward: pip install 'servicex_layer[dask-awkward]'. Without it, "
            "use map_files, or the two layers by hand."
        )


def new_array(
    graph: HighLevelGraph, name: str, meta: ak.Array, divisions: Iterable[int | None]
) -> Array:
    """Make a dask-awkward array of the layer `name` of a graph."""
    from dask_awkward.lib.core import new_array_object

    all_divisions: Any = tuple(divisions)
    return new_array_object(graph, name, meta=meta, divisions=all_divisions)


def meta_of(array: Array) -> ak.Array:
    """Return the typetracer of an array."""
    return array._meta


def stand_in_layer(name: str, npartitions: int, value: Any, label: str) -> AwkwardInputLayer:
    """Make a layer that returns `value` from its only task, to trace which columns are touched."""
    from dask_awkward.layers import AwkwardInputLayer
    from dask_awkward.layers.layers import AwkwardTokenizable

    tokenizable: Any = AwkwardTokenizable
    return AwkwardInputLayer(
        name=name,
        # dask-awkward computes partition 0 only. An array of no partitions has no task.
        inputs=[None][:npartitions],
        io_func=tokenizable(value, name),
        label=label,
    )


def form_structure(form: Form, buffer_key: Any) -> FormStructure:
    """Return the parents, paths and buffers of the nodes of a form whose nodes have keys."""
    from dask_awkward.lib.utils import trace_form_structure

    return trace_form_structure(form, buffer_key=buffer_key)


def parse_buffer_key(buffer_key: str) -> tuple[str, str]:
    """Return the node of a form and the attribute that a buffer belongs to."""
    from dask_awkward.lib.utils import parse_buffer_key

    return parse_buffer_key(buffer_key)


def touched_buffers(
    report: Any, structure: FormStructure, parse_buffer_key: Callable[[str], tuple[str, str]]
) -> frozenset[str]:
    """Return the keys of the buffers that a traced computation needs.

    These are the buffers whose data it touched, and those that give the length of the buffers
    whose shape it touched.
    """
    from dask_awkward.lib.utils import buffer_keys_required_to_compute_shapes

    shapes = buffer_keys_required_to_compute_shapes(
        parse_buffer_key,
        report.shape_touched,
        structure["form_key_to_parent_form_key"],
        structure["form_key_to_buffer_keys"],
    )
    return frozenset({*report.data_touched, *shapes})
