"""Pickling of arrays with columns that are not read yet, without reading them.

An array travels between workers and to the client, and there a column that nothing touched before
can still be read.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from typing import Any

import awkward as ak
import awkward._pickle
import numpy as np
from awkward.forms import Form

from servicex_layer.reading._unread_buffer import is_virtual, picklable, unread_array

__all__ = ["pickle_unread_columns"]

Reducer = Callable[[Any, int], Any]


def pickle_unread_columns() -> None:
    """Have awkward pickle unread buffers unread, in this process; again changes nothing.

    awkward has an entry point for one reducer: that of dask-awkward, which reads virtual arrays.
    awkward keeps it in `awkward._pickle`, which is private; here it is wrapped. If awkward changes
    this, unread columns are read when an array is pickled, and a test in
    tests/reading/test_unread_pickling.py fails.
    """
    module: Any = awkward._pickle
    reducer = module.get_custom_reducer()
    if not isinstance(reducer, _UnreadReducer):
        module._plugin = _UnreadReducer(reducer)


class _UnreadReducer:
    """Reduces arrays and records that have virtual buffers, and leaves others to a reducer."""

    def __init__(self, others: Reducer | None) -> None:
        self._others = others

    def __call__(self, value: Any, protocol: int) -> Any:
        """Return what `pickle` takes, or ``NotImplemented`` to have awkward do it."""
        if ak.backend(value) == "cpu":
            layout = ak.to_layout(value, allow_record=True)
            is_record = isinstance(layout, ak.record.Record)
            array = layout.array if is_record else layout
            form, length, buffers = ak.to_buffers(array)
            # Also if all of them were read: dask-awkward pickles virtual arrays whole, and awkward
            # then refuses those of a selection, which are longer than it expects.
            if any(map(is_virtual, buffers.values())):
                behavior = None if value.behavior is ak.behavior else value.behavior
                attrs = {
                    name: attribute
                    for name, attribute in value.attrs.items()
                    if not name.startswith("@")
                }
                container = {
                    key: _pickled(picklable(buffer), protocol) for key, buffer in buffers.items()
                }
                at = layout.at if is_record else None
                return _restore, (form, length, container, behavior, attrs, at)
        return NotImplemented if self._others is None else self._others(value, protocol)


def _pickled(buffer: Any, protocol: int) -> Any:
    # From protocol 5 on the buffers are not copied.
    is_array = protocol >= 5 and isinstance(buffer, np.ndarray)
    return pickle.PickleBuffer(buffer) if is_array else buffer


def _restore(
    form: Form,
    length: int,
    container: Mapping[str, Any],
    behavior: Mapping[Any, Any] | None,
    attrs: Mapping[str, Any],
    at: int | None,
) -> ak.Array | ak.Record:
    pickle_unread_columns()
    layout = unread_array(form, length, container)
    if at is None:
        return ak.Array(layout, behavior=behavior, attrs=attrs)
    return ak.Record(ak.record.Record(layout, at), behavior=behavior, attrs=attrs)
