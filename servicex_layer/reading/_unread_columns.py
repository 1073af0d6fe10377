"""The columns of a file that were not read: they are read when they are touched."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import awkward as ak
import numpy as np
from awkward.contents import (
    Content,
    EmptyArray,
    IndexedArray,
    IndexedOptionArray,
    ListOffsetArray,
    NumpyArray,
    RecordArray,
    RegularArray,
    UnionArray,
)
from awkward.forms import Form, RecordForm
from awkward.index import Index
from awkward.typetracer import PlaceholderArray, unknown_length

from servicex_layer.reading._unread_buffer import (
    LateBuffer,
    LateBuffers,
    unread_index,
    unread_values,
)
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


def _unread(form: Form, beside: Content, buffers: LateBuffers) -> Content:
    """Return an array of a form that is as long as another."""
    length = beside.length
    return _Builder(buffers).build(form, length, lambda: length)


class _Builder:
    """Makes arrays whose buffers are read when they are touched.

    `unread_array` makes the same arrays of any form, in three times the time.
    """

    def __init__(self, buffers: LateBuffers) -> None:
        self._buffers = buffers

    def build(self, form: Any, length: int | None, read_length: Callable[[], int]) -> Content:
        """Return an array of a form.

        Parameters
        ----------
        form : awkward.forms.Form
            A form that `form_of_buffers` made, or a part of it.
        length : int or None
            The length of the array if it is known before anything is read.
        read_length : callable
            Returns the length.
        """
        if form.is_numpy:
            values = unread_values(length, np.dtype(form.primitive), self._buffer(form, "data"))
            return NumpyArray(values, parameters=form.parameters)
        if form.is_record:
            contents = [self.build(content, length, read_length) for content in form.contents]
            fields = None if form.is_tuple else form.fields
            return RecordArray(
                contents, fields, *_lengths(length, read_length), parameters=form.parameters
            )
        if form.is_regular:
            count = None if length is None else length * form.size
            items = self.build(form.content, count, lambda: read_length() * form.size)
            return RegularArray(
                items, form.size, *_lengths(length, read_length), parameters=form.parameters
            )
        if form.is_list:
            offsets = self._index(form, "offsets", None if length is None else length + 1)
            items = self.build(form.content, None, lambda: int(offsets[-1]))
            return ListOffsetArray(offsets, items, parameters=form.parameters)
        if form.is_indexed:
            index = self._index(form, "index", length)
            content = self.build(form.content, None, lambda: _count(np.asarray(index)))
            kind = IndexedOptionArray if form.is_option else IndexedArray
            return kind(index, content, parameters=form.parameters)
        if form.is_union:
            return self._union(form, length)
        return EmptyArray()

    def _union(self, form: Any, length: int | None) -> Content:
        tags = unread_index(length, np.dtype(np.int8), self._buffer(form, "tags"))
        index = self._index(form, "index", length)

        def read_length(tag: int) -> int:
            return _count(np.asarray(index)[np.asarray(tags) == tag])

        contents = [
            self.build(content, None, partial(read_length, tag))
            for tag, content in enumerate(form.contents)
        ]
        return UnionArray(tags, index, contents, parameters=form.parameters)

    def _index(self, form: Any, attribute: str, length: int | None) -> Index:
        return unread_index(length, np.dtype(np.int64), self._buffer(form, attribute))

    def _buffer(self, form: Any, attribute: str) -> LateBuffer:
        return LateBuffer(self._buffers, f"{form.form_key}-{attribute}")


def _lengths(length: int | None, read_length: Callable[[], int]) -> tuple[Any, Callable[[], int]]:
    return unknown_length if length is None else length, read_length


def _count(index: Any) -> int:
    return int(index.max(initial=-1)) + 1
