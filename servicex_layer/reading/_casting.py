"""Checks columns of a file against the form, and casts them if that keeps every value."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
from awkward.forms import Form, RecordForm

from servicex_layer.errors import SchemaMismatchError
from servicex_layer.reading._canonical_form import SPECIAL_TYPES, canonical_form, datashape_of

__all__ = ["cast_to_form"]

# The longest form, in characters, to print whole in a message.
_LONGEST_FORM = 500


def cast_to_form(
    array: ak.contents.Content,
    form: Form,
    column: str,
    file: str,
    whole_form: RecordForm | None = None,
) -> ak.contents.Content:
    """Cast a column of a file to its form if that keeps every value.

    Parameters
    ----------
    array : awkward.contents.Content
        The column as read.
    form : awkward.forms.Form
        Its form.
    column : str
        Its name, for errors.
    file : str
        Names the request and the file in errors.
    whole_form : awkward.forms.RecordForm, optional
        The form of all columns: the error prints it, corrected.

    Raises
    ------
    SchemaMismatchError
        If the cast could change a value.
    """
    if array.form.is_equal_to(form):
        return array
    narrow, wide = canonical_form(array.form), canonical_form(form)
    if narrow.type == wide.type:
        return _with_parameters(array, form)
    if not _can_widen(narrow, wide):
        raise SchemaMismatchError(
            f"{file}: the column {column!r} is {narrow.type}, but the form says {wide.type}. "
            f"{_advice(array.form, column, whole_form)}"
        )
    try:
        cast = _widen(array, wide)
    except OverflowError as error:
        raise SchemaMismatchError(
            f"{file}: the column {column!r} is {narrow.type} and has {error}, but the form says "
            f"{wide.type}. {_advice(array.form, column, whole_form)}"
        ) from None
    return _with_parameters(cast, form)


def _advice(file_form: Form, column: str, whole_form: RecordForm | None) -> str:
    """Return the code that would read the column."""
    if whole_form is None:
        whole_form = RecordForm([file_form], [column])
    contents = [
        _corrected(whole_form.content(name), file_form)
        if name == column
        else whole_form.content(name)
        for name in whole_form.fields
    ]
    datashape = datashape_of(RecordForm(contents, whole_form.fields))
    if len(datashape) <= _LONGEST_FORM:
        return f"Use form={datashape!r}."
    content = contents[whole_form.fields.index(column)]
    return f"In the form, use {datashape_of(RecordForm([content], [column]))[1:-1]!r}."


def _corrected(form: Form, file_form: Form) -> Form:
    """Return a form with the types of the file; fields of records that were not read stay."""
    if form.is_record and file_form.is_record and not form.is_tuple:
        contents = [
            _corrected(form.content(name), file_form.content(name))
            if name in file_form.fields
            else form.content(name)
            for name in form.fields
        ]
        return form.copy(contents=contents)
    if not (_is_special(form) or _is_special(file_form)) and (
        (form.is_list and file_form.is_list) or (form.is_option and file_form.is_option)
    ):
        return file_form.copy(content=_corrected(form.content, file_form.content))
    return file_form


def _is_special(form: Form) -> bool:
    return form.parameter("__array__") in SPECIAL_TYPES


def _can_widen(narrow: Form, wide: Form) -> bool:
    """Return whether every value of one form is, unchanged, a value of the other."""
    if narrow.is_unknown:
        return True
    if wide.is_option:
        return _can_widen(narrow.content if narrow.is_option else narrow, wide.content)
    if narrow.is_indexed and not narrow.is_option:
        return _can_widen(narrow.content, wide)
    if narrow.is_numpy and wide.is_numpy:
        return np.can_cast(narrow.primitive, wide.primitive, "safe")
    if narrow.parameter("__array__") != wide.parameter("__array__"):
        return False
    if narrow.is_list and wide.is_list:
        fits = not wide.is_regular or (narrow.is_regular and narrow.size == wide.size)
        return fits and _can_widen(narrow.content, wide.content)
    if narrow.is_record and wide.is_record and narrow.is_tuple == wide.is_tuple:
        return sorted(narrow.fields) == sorted(wide.fields) and all(
            _can_widen(narrow.content(name), wide.content(name)) for name in wide.fields
        )
    return False


def _widen(array: ak.contents.Content, form: Form) -> ak.contents.Content:
    """Cast to a wider form; `awkward.enforce_type` would lose the types of empty lists."""
    if form.is_option and not array.is_option:
        return ak.contents.UnmaskedArray.simplified(_widen(array, form.content))
    if array.is_unknown:
        return form.length_zero_array(highlevel=False)
    if array.is_indexed and not array.is_option:
        return _widen(array.project(), form)
    if array.is_numpy and array.inner_shape:
        return _widen(array.to_RegularArray(), form)
    if array.is_numpy:
        numbers = _widen_numbers(array.data, form.primitive)
        return ak.contents.NumpyArray(numbers, parameters=array.parameters)
    if array.is_record:
        contents = [_widen(array.content(name), form.content(name)) for name in form.fields]
        fields = None if form.is_tuple else form.fields
        return ak.contents.RecordArray(contents, fields, length=array.length)
    if array.is_regular and not form.is_regular:
        return _widen(array.to_ListOffsetArray64(), form)
    return array.copy(content=_widen(array.content, form.content), parameters=form.parameters)


# NumPy casts 64-bit integers to float64 as "safe", but float64 holds each integer only up to here.
_LAST_EXACT_INTEGER = 2**53


def _widen_numbers(numbers: Any, primitive: str) -> Any:
    dtype = np.dtype(primitive)
    if numbers.dtype.kind in "iu" and numbers.itemsize == 8 and dtype.kind in "fc":
        low, high = int(numbers.min(initial=0)), int(numbers.max(initial=0))
        if max(-low, high) > _LAST_EXACT_INTEGER:
            raise OverflowError(f"integers beyond {_LAST_EXACT_INTEGER}")
    return numbers.astype(dtype)


def _with_parameters(array: ak.contents.Content, form: Form) -> ak.contents.Content:
    """Return an array with the parameters of its form: behaviors need the names of records."""
    if array.is_indexed and not (array.is_option and form.is_option):
        return array.copy(content=_with_parameters(array.content, form))
    if form.is_indexed and not form.is_option:
        return _with_parameters(array, form.content)
    # Numbers of a fixed shape may be regular lists in the array and not in the form, or vice versa.
    if array.is_numpy or form.is_numpy or array.parameter("__array__") in SPECIAL_TYPES:
        return array
    if array.is_record:
        contents = [
            _with_parameters(array.content(name), form.content(name)) for name in array.fields
        ]
        return array.copy(contents=contents, parameters=form.parameters)
    if array.is_list or array.is_option:
        content = _with_parameters(array.content, form.content)
        return array.copy(content=content, parameters=form.parameters)
    return array
