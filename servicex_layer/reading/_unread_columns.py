"""The columns of a file that were not read: they are read when they are touched."""

from __future__ import annotations

from typing import Any

import awkward as ak
from awkward.contents import Content
from awkward.forms import Form, RecordForm
from awkward.typetracer import PlaceholderArray

from servicex_layer.reading._unread_buffer import LateBuffer, LateBuffers, unread_array
from servicex_layer.reading._unread_pickling import pickle_unread_columns

__all__ = ["fill_unread"]


def fill_unread(
    array: Content,
    form: RecordForm,
    buffers: LateBuffers,
    offsets_only: frozenset[str] = frozenset(),
) -> Content:
    """Add the missing columns of a form to an array, to be read when they are touched.

    A computation may need a column that its projection missed, and behaviors depend on the set of
    fields: no four-vector has a ``pt`` and nothing else.

    Parameters
    ----------
    array : awkward.contents.Content
        Some of the columns, as `read` returns them.
    form : awkward.forms.RecordForm
        A form that `form_of_buffers` made, of all columns.
    buffers : LateBuffers
        What reads their buffers, by the keys of the form.
    offsets_only : frozenset of str
        Columns of lists of which perhaps only the lengths were read.
    """
    pickle_unread_columns()
    filled = _fill(array, form, buffers)
    for name in offsets_only:
        place = filled.fields.index(name)
        column = _with_items(filled.contents[place], form.content(name), buffers)
        contents = [*filled.contents[:place], column, *filled.contents[place + 1 :]]
        filled = filled.copy(contents=contents)
    return filled


def _fill(array: Content, form: Form, buffers: LateBuffers) -> Content:
    if array.is_indexed and not (array.is_option and form.is_option):
        return array.copy(content=_fill(array.content, form, buffers))
    if form.is_indexed and not form.is_option:
        return _fill(array, form.content, buffers)
    if array.is_record:
        return _fill_record(array, form, buffers)
    # Those of lists and options are the fields of the records in them.
    if not form.fields:
        return array
    if array.is_list and not array.is_regular:
        # As in `buffers_of`: fields that are read later are as long as these.
        array = array.to_ListOffsetArray64(True)
        array = array.copy(content=array.content[: array.offsets[-1]])
    return array.copy(content=_fill(array.content, form.content, buffers))


def _fill_record(array: Content, form: RecordForm, buffers: LateBuffers) -> Content:
    filled = {
        name: _fill(array.content(name), form.content(name), buffers) for name in array.fields
    }
    missing = [name for name in form.fields if name not in filled]
    if not missing:
        return array.copy(contents=list(filled.values()))  # without `fields`: a tuple remains one
    unread = _unread(RecordForm([form.content(name) for name in missing], missing), array, buffers)
    filled |= {name: unread.content(name) for name in missing}
    return array.copy(contents=[filled[name] for name in form.fields], fields=form.fields)


def _with_items(lists: Content, form: Form, buffers: LateBuffers) -> Content:
    """Replace placeholders for the items of lists."""
    _, _, values = ak.to_buffers(lists.content)
    if not any(isinstance(buffer, PlaceholderArray) for buffer in values.values()):
        return lists
    return lists.copy(content=_unread(form.content, lists.content, buffers))


def _unread(form: Form, beside: Content, buffers: LateBuffers) -> Any:
    """Return an array of a form that is as long as another."""
    container = {key: LateBuffer(buffers, key) for key in form.expected_from_buffers()}
    return unread_array(form, beside.length, container)
