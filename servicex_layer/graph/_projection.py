"""Which lists a computation asks nothing of but their lengths."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from dask_awkward.lib.utils import (
    FormStructure,
    buffer_keys_required_to_compute_shapes,
    parse_buffer_key,
)

__all__ = ["offsets_only_columns"]


def offsets_only_columns(report: Any, state: FormStructure) -> frozenset[str]:
    """Tell the columns that are lists, and of which only the lengths are needed.

    Parameters
    ----------
    report : awkward.typetracer.TypeTracerReport
        Which buffers were touched.
    state : FormStructure
        What each buffer is of; both as dask-awkward's ``ColumnProjectionMixin`` has them.
    """
    parents, paths = state["form_key_to_parent_form_key"], state["form_key_to_path"]
    shapes = buffer_keys_required_to_compute_shapes(
        parse_buffer_key, report.shape_touched, parents, state["form_key_to_buffer_keys"]
    )
    touched = defaultdict(set)
    for form_key, attribute in map(parse_buffer_key, {*report.data_touched, *shapes}):
        column, *_ = *paths[form_key], ""
        parent = parents[form_key]
        # Of the lists of the column, these are not within others.
        outermost = parent is not None and not paths[parent]
        touched[column].add("lengths" if outermost and attribute == "offsets" else "more")
    return frozenset(column for column, needed in touched.items() if needed == {"lengths"})
