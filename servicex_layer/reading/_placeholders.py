"""Arrays with placeholders for what was not read."""

from __future__ import annotations

import functools
from typing import Any

import awkward as ak
import numpy as np
from awkward.forms import Form, RecordForm, form_with_unique_keys
from awkward.typetracer import PlaceholderArray, unknown_length

from servicex_layer.reading._canonical_form import SPECIAL_TYPES

__all__ = ["fill_unread", "lists_of_lengths", "placeholder"]


def placeholder(dtype: np.dtype[Any]) -> Any:
    """Return a buffer that stands for values not read; using them raises an error that says so."""
    return PlaceholderArray(nplike=_nplike(), shape=(unknown_length,), dtype=dtype)


@functools.cache
def _nplike() -> Any:
    """Return awkward's NumPy backend.

    The constructor of `PlaceholderArray` needs it, and only undocumented attributes of a layout
    lead to it. If they change, `placeholder` fails, and tests/reading/test_placeholders.py with it.
    """
    return ak.contents.NumpyArray(np.empty(0)).backend.nplike


def fill_unread(array: ak.contents.Content, form: Form) -> ak.contents.Content:
    """Add the missing fields of a form to the records in an array, as placeholders.

    ``ak.num(events.x, axis=0)`` needs an ``x``, but none of its values. And behaviors depend on the
    set of fields: no four-vector has a ``pt`` and nothing else.

    Parameters
    ----------
    array : awkward.contents.Content
        Some of the columns, as `read` returns them.
    form : awkward.forms.Form
        The form of all columns.
    """
    if array.is_indexed and not (array.is_option and form.is_option):
        return array.copy(content=fill_unread(array.content, form))
    if form.is_indexed and not form.is_option:
        return fill_unread(array, form.content)
    if not array.is_record:
        if (array.is_list or array.is_option) and form.parameter("__array__") not in SPECIAL_TYPES:
            return array.copy(content=fill_unread(array.content, form.content))
        return array
    missing = [name for name in form.fields if name not in array.fields]
    filled = {name: fill_unread(array.content(name), form.content(name)) for name in array.fields}
    if not missing:
        return array.copy(contents=list(filled.values()))  # without `fields`: a tuple remains one
    unread = _unread(RecordForm([form.content(name) for name in missing], missing), array.length)
    filled |= {name: unread.content(name) for name in missing}
    return array.copy(contents=[filled[name] for name in form.fields], fields=form.fields)


def lists_of_lengths(lengths: Any, form: Form) -> ak.contents.Content:
    """Return lists of known lengths, with placeholders for their items.

    Parameters
    ----------
    lengths : numpy.ndarray
        The length of each list.
    form : awkward.forms.Form
        The form of their items.
    """
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    items = _unread(form, int(offsets[-1]))
    return ak.contents.ListOffsetArray(ak.index.Index64(offsets), items)


def _unread(form: Form, length: int) -> ak.contents.Content:
    keyed = form_with_unique_keys(form, "@")
    buffers = {key: placeholder(dtype) for key, dtype in keyed.expected_from_buffers().items()}
    return ak.from_buffers(keyed, length, buffers, highlevel=False)
