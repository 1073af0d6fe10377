"""Checks what was read against a form, and casts it where that loses nothing."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
from awkward.forms import Form, RecordForm

from servicex_layer.errors import SchemaMismatchError
from servicex_layer.reading._columns import KINDS, datashape_of, plain

__all__ = ["cast_to_form"]

# How long a form may be to be part of a message.
_SHORT = 500


def cast_to_form(
    array: ak.contents.Content, form: Form, column: str, where: str, whole: RecordForm | None = None
) -> ak.contents.Content:
    """Check a column that was read against its form, and cast it where that loses nothing.

    Parameters
    ----------
    array : awkward.contents.Content
        The column as read.
    form : awkward.forms.Form
        What it should be.
    column : str
        Its name, for the error.
    where : str
        The request and the file, for the error.
    whole : awkward.forms.RecordForm, optional
        The form of all columns, of which the error shows the right one.

    Raises
    ------
    SchemaMismatchError
        Where it is something else.
    """
    found = array.form
    if found.is_equal_to(form):
        return array
    wanted_type, found_type = plain(form).type, plain(found).type
    if found_type == wanted_type:
        return _named(array, form)
    wanted = plain(form)
    if not _widens(plain(found), wanted):
        raise SchemaMismatchError(
            f"{where}: the column {column!r} is {found_type}, but the form says {wanted_type}. "
            f"{_advice(found, column, whole)}"
        )
    try:
        cast = _cast(array, wanted)
    except OverflowError as error:
        raise SchemaMismatchError(
            f"{where}: the column {column!r} is {found_type} and has {error}, but the form says "
            f"{wanted_type}. {_advice(found, column, whole)}"
        ) from None
    return _named(cast, form)


def _advice(found: Form, column: str, whole: RecordForm | None) -> str:
    """Tell the line of code with which the column could be read."""
    if whole is None:
        whole = RecordForm([found], [column])
    corrected = {
        name: _merged(whole.content(name), found) if name == column else whole.content(name)
        for name in whole.fields
    }
    line = datashape_of(RecordForm(list(corrected.values()), list(corrected)))
    if len(line) <= _SHORT:
        return f"Say form={line!r}."
    part = datashape_of(RecordForm([corrected[column]], [column]))[1:-1]
    return f"In the form, say {part!r}."


def _merged(said: Form, found: Form) -> Form:
    """Give a form what was found, and keep what was not looked for: fields of records."""
    if said.is_record and found.is_record and not said.is_tuple:
        contents = [
            _merged(said.content(name), found.content(name))
            if name in found.fields
            else said.content(name)
            for name in said.fields
        ]
        return said.copy(contents=contents)
    if not (_is_kind(said) or _is_kind(found)) and (
        (said.is_list and found.is_list) or (said.is_option and found.is_option)
    ):
        return found.copy(content=_merged(said.content, found.content))
    return found


def _is_kind(form: Form) -> bool:
    return form.parameter("__array__") in KINDS


def _cast(array: ak.contents.Content, form: Form) -> ak.contents.Content:
    """Cast to a form that the array's own widens to; `awkward.enforce_type` loses empty lists."""
    if form.is_option and not array.is_option:
        return ak.contents.UnmaskedArray.simplified(_cast(array, form.content))
    if array.is_unknown:
        return form.length_zero_array(highlevel=False)
    if array.is_indexed and not array.is_option:
        return _cast(array.project(), form)
    if array.is_numpy and array.inner_shape:
        return _cast(array.to_RegularArray(), form)
    if array.is_numpy:
        numbers = _cast_numbers(array.data, form.primitive)
        return ak.contents.NumpyArray(numbers, parameters=array.parameters)
    if array.is_record:
        contents = [_cast(array.content(name), form.content(name)) for name in form.fields]
        fields = None if form.is_tuple else form.fields
        return ak.contents.RecordArray(contents, fields, length=array.length)
    if array.is_regular and not form.is_regular:
        return _cast(array.to_ListOffsetArray64(), form)
    return array.copy(content=_cast(array.content, form.content), parameters=form.parameters)


# NumPy takes 64-bit integers for safe in float64, which holds each one up to here.
_EXACT = 2**53


def _cast_numbers(numbers: Any, primitive: str) -> Any:
    wanted = np.dtype(primitive)
    if numbers.dtype.kind in "iu" and numbers.itemsize == 8 and wanted.kind in "fc":
        low, high = int(numbers.min(initial=0)), int(numbers.max(initial=0))
        if max(-low, high) > _EXACT:
            raise OverflowError(f"integers beyond {_EXACT}")
    return numbers.astype(wanted)


def _named(array: ak.contents.Content, form: Form) -> ak.contents.Content:
    """Give an array the parameters of its form: the names of records, that behaviors go by."""
    if array.is_indexed and not (array.is_option and form.is_option):
        return array.copy(content=_named(array.content, form))
    if form.is_indexed and not form.is_option:
        return _named(array, form.content)
    # Numbers of a fixed shape may be regular lists in the one and not in the other.
    if array.is_numpy or form.is_numpy or array.parameter("__array__") in KINDS:
        return array
    parameters = form.parameters
    if array.is_record:
        contents = [_named(array.content(name), form.content(name)) for name in array.fields]
        return array.copy(contents=contents, parameters=parameters)
    if array.is_list or array.is_option:
        content = _named(array.content, form.content)
        return array.copy(content=content, parameters=parameters)
    return array


def _widens(found: Form, wanted: Form) -> bool:
    """Whether every value of one form is, unchanged, one of the other."""
    if found.is_unknown:
        return True
    if wanted.is_option:
        return _widens(found.content if found.is_option else found, wanted.content)
    if found.is_indexed and not found.is_option:
        return _widens(found.content, wanted)
    if found.is_numpy and wanted.is_numpy:
        return np.can_cast(found.primitive, wanted.primitive, "safe")
    if found.parameter("__array__") != wanted.parameter("__array__"):
        return False
    if found.is_list and wanted.is_list:
        same = not wanted.is_regular or (found.is_regular and found.size == wanted.size)
        return same and _widens(found.content, wanted.content)
    if found.is_record and wanted.is_record and found.is_tuple == wanted.is_tuple:
        return sorted(found.fields) == sorted(wanted.fields) and all(
            _widens(found.content(name), wanted.content(name)) for name in wanted.fields
        )
    return False
