"""Which columns a computation needs, and of which lists it needs only the lengths."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from servicex_layer.graph._dask_awkward import parse_buffer_key, touched_buffers

if TYPE_CHECKING:
    from dask_awkward.lib.utils import FormStructure

__all__ = ["offsets_only_columns"]


def offsets_only_columns(report: Any, structure: FormStructure) -> frozenset[str]:
    """Return the columns that are lists of which a computation needs only the lengths.

    Parameters
    ----------
    report : awkward.typetracer.TypeTracerReport
        The buffers that the computation touched.
    structure : FormStructure
        The node and column of each buffer, as `prepare_for_projection` of a reader returns them.
    """
    parents, paths = structure["form_key_to_parent_form_key"], structure["form_key_to_path"]
    needs = defaultdict(set)
    for buffer_key in touched_buffers(report, structure, parse_buffer_key):
        form_key, attribute = parse_buffer_key(buffer_key)
        column, *_ = *paths[form_key], ""
        parent = parents[form_key]
        # Lists within these lists are among the items.
        is_outermost = parent is not None and not paths[parent]
        needs[column].add("lengths" if is_outermost and attribute == "offsets" else "items")
    return frozenset(column for column, parts in needs.items() if parts == {"lengths"})
