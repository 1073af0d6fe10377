"""The buffers of columns, by keys that are the same for every file of a request.

Two files can hold values of one type in different buffers: lists as starts and stops or as offsets,
nulls as a mask or as an index. Here each type has one kind of buffers.
"""

from __future__ import annotations

import ast
from typing import Any

import awkward as ak
import numpy as np
from awkward.contents import Content
from awkward.forms import (
    Form,
    IndexedForm,
    IndexedOptionForm,
    ListOffsetForm,
    RecordForm,
    form_with_unique_keys,
)

from servicex_layer.reading._columns import select_columns

__all__ = ["buffers_of", "column_of_buffer", "form_of_buffers"]


def form_of_buffers(form: RecordForm) -> RecordForm:
    """Return the form of the same type whose keys name the buffers that `buffers_of` makes.

    Parameters
    ----------
    form : awkward.forms.RecordForm
        The form of all columns.

    Examples
    --------
    >>> form = ak.forms.RecordForm([ak.forms.NumpyForm("int32")], ["n"])
    >>> [*form_of_buffers(form).expected_from_buffers()]
    ["('n',)-data"]
    """
    keyed: RecordForm = form_with_unique_keys(_normal(form), ())
    return keyed


def _normal(form: Form) -> Form:
    if form.is_record or form.is_union:
        return form.copy(contents=[_normal(content) for content in form.contents])
    if form.is_option:
        return IndexedOptionForm("i64", _normal(form.content), parameters=form.parameters)
    if form.is_indexed:
        content = _normal(form.content)
        if _is_categorical(form):
            return IndexedForm("i64", content, parameters=form.parameters)
        return content.copy(parameters={**content.parameters, **form.parameters})
    if form.is_regular:
        return form.copy(content=_normal(form.content))
    if form.is_numpy and form.inner_shape:
        return _normal(form.to_RegularForm())
    if form.is_list:
        return ListOffsetForm("i64", _normal(form.content), parameters=form.parameters)
    return form


def column_of_buffer(form: RecordForm, key: str) -> tuple[str, str]:
    """Return which field of a form has a buffer, and what to read for it.

    Parameters
    ----------
    form : awkward.forms.RecordForm
        A form that `form_of_buffers` made.
    key : str
        The key of the buffer.

    Returns
    -------
    str
        The name of the field.
    str
        The column to read: of the columns within a list, the first has its lengths, too.
    """
    form_key, _, _ = key.rpartition("-")
    name: str = ast.literal_eval(form_key)[0]
    field = RecordForm([form.content(name)], [name])
    for column in field.columns():
        if key in select_columns(field, frozenset([column])).expected_from_buffers():
            return name, column
    raise KeyError(key)


def buffers_of(array: Content, form: Form) -> dict[str, Any]:
    """Return the buffers of an array by their keys, as NumPy arrays of one dimension.

    Parameters
    ----------
    array : awkward.contents.Content
        Some of the columns, cast to the form.
    form : awkward.forms.Form
        A form that `form_of_buffers` made, of all columns.
    """
    buffers: dict[str, Any] = {}
    _add_buffers(buffers, array, form)
    return buffers


def _add_buffers(buffers: dict[str, Any], array: Content, form: Form) -> None:
    if array.is_indexed and not array.is_option and not form.is_indexed:
        array = array.project()
    if form.is_record:
        for name in array.fields:
            _add_buffers(buffers, array.content(name), form.content(name))
    elif form.is_union:
        buffers[f"{form.form_key}-tags"] = np.asarray(array.tags, np.int8)
        buffers[f"{form.form_key}-index"] = np.asarray(array.index, np.int64)
        for content, content_form in zip(array.contents, form.contents, strict=True):
            _add_buffers(buffers, content, content_form)
    elif form.is_option:
        nullable = array if array.is_option else ak.contents.UnmaskedArray(array)
        _add_indexed(buffers, nullable.to_IndexedOptionArray64(), form)
    elif form.is_indexed:
        _add_indexed(buffers, array, form)
    elif form.is_regular:
        regular = array.to_RegularArray()
        items = regular.content[: regular.length * regular.size]
        _add_buffers(buffers, items, form.content)
    elif form.is_list:
        lists = array.to_ListOffsetArray64(True)
        offsets = np.asarray(lists.offsets)
        buffers[f"{form.form_key}-offsets"] = offsets
        _add_buffers(buffers, lists.content[: offsets[-1]], form.content)
    elif form.is_numpy:
        values = np.asarray(array.to_backend_array())
        buffers[f"{form.form_key}-data"] = np.ascontiguousarray(values).reshape(-1)


def _add_indexed(buffers: dict[str, Any], array: Content, form: Form) -> None:
    buffers[f"{form.form_key}-index"] = np.asarray(array.index, np.int64)
    _add_buffers(buffers, array.content, form.content)


def _is_categorical(form: Form) -> bool:
    return bool(form.parameter("__array__") == "categorical")
