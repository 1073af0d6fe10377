"""The awkward form of a result: from what a user says, from a file, and checked against one."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
from awkward.forms import Form, RecordForm, form_with_unique_keys
from awkward.types import ArrayType, ListType, RegularType
from awkward.typetracer import PlaceholderArray, unknown_length

from servicex_layer.errors import FormError, SchemaMismatchError

__all__ = ["as_form", "complete", "conform", "datashape_of", "placeholder", "select"]


def as_form(form: Form | str) -> RecordForm:
    """Make the form of a result of what a user gives for it.

    Parameters
    ----------
    form : awkward.forms.Form or str
        A record form, or a datashape such as ``"{JetPt: var * float64, met: float32}"``: what
        one event looks like.

    Raises
    ------
    FormError
        Where it is neither, or not of records.

    Examples
    --------
    >>> print(as_form("{JetPt: var * float64}").type)
    {JetPt: var * float64}
    """
    if isinstance(form, str):
        try:
            parsed = ak.types.from_datashape(form, highlevel=False)
        except Exception as error:
            raise FormError(
                f"form={form!r} is no datashape: {error}. Write it like "
                "'{JetPt: var * float64, met: float32}'."
            ) from error
        # "50000 * {...}", as the printed type of an array begins, has a length around the record.
        lengthy = isinstance(parsed, (ArrayType, ListType, RegularType))
        made = ak.forms.from_type(parsed.content if lengthy else parsed)
    else:
        made = form
    if not isinstance(made, Form):
        raise FormError(
            f"form={form!r} is neither an awkward form nor a datashape, but a "
            f"{type(form).__name__}."
        )
    if not isinstance(made, RecordForm) or made.is_tuple:
        raise FormError(
            f"The form {datashape_of(made)} is not one of records with named fields; a result file "
            "has named columns. Write it like '{JetPt: var * float64}'."
        )
    return made


def select(form: RecordForm, columns: frozenset[str] | None, *, nested: bool = True) -> RecordForm:
    """Take some columns of a form.

    Parameters
    ----------
    form : awkward.forms.RecordForm
        All columns.
    columns : frozenset of str or None
        Their names; those of fields within records begin with the record's, and a dot. ``None``
        takes all.
    nested : bool
        Whether to take some fields of a record without the others.

    Examples
    --------
    >>> muons = as_form("{muons: var * {pt: float64, eta: float64}, met: float32}")
    >>> datashape_of(select(muons, frozenset({"muons.pt"})))
    '{muons: var * {pt: float64}}'
    """
    if columns is None:
        return form
    parents = {
        column[:place] for column in columns for place, letter in enumerate(column) if letter == "."
    }
    return _select(form, columns, parents, "", nested=nested)


def _select(
    form: Any, columns: frozenset[str], parents: set[str], prefix: str, *, nested: bool = True
) -> Any:
    if form.is_union:
        return form
    if not form.is_record:
        return form.copy(content=_select(form.content, columns, parents, prefix))
    contents = {}
    for name in form.fields:
        path, content = f"{prefix}{name}", form.content(name)
        if path in columns:
            contents[name] = content
        # A column "a.b" need not be a field of another column "a".
        elif path in parents and content.fields:
            inner = _select(content, columns, parents, f"{path}.") if nested else content
            if inner.fields:
                contents[name] = inner
    return form.copy(contents=list(contents.values()), fields=list(contents))


def complete(array: ak.contents.Content, form: Form) -> ak.contents.Content:
    """Give records that have a name all of their fields, with placeholders for those not read.

    Behaviors go by the fields that are there: no four-vector has a ``pt`` and nothing else.

    Parameters
    ----------
    array : awkward.contents.Content
        Some columns, as `conform` gives them.
    form : awkward.forms.Form
        All columns.
    """
    if array.is_indexed and not (array.is_option and form.is_option):
        return array.copy(content=complete(array.content, form))
    if form.is_indexed and not form.is_option:
        return complete(array, form.content)
    if not array.is_record:
        if (array.is_list or array.is_option) and form.parameter("__array__") not in _KINDS:
            return array.copy(content=complete(array.content, form.content))
        return array
    named = form.parameter("__record__") is not None
    fields = [name for name in form.fields if named or name in array.fields]
    contents = [
        complete(array.content(name), form.content(name))
        if name in array.fields
        else _placeholders(form.content(name), array.length)
        for name in fields
    ]
    if len(fields) == len(array.fields):
        return array.copy(contents=contents)  # a tuple remains one
    return array.copy(contents=contents, fields=fields)


def placeholder(dtype: np.dtype[Any]) -> Any:
    """Give a buffer that stands for what is not read, and says so to who touches it."""
    nplike = ak.contents.NumpyArray(np.empty(0)).backend.nplike
    return PlaceholderArray(nplike=nplike, shape=(unknown_length,), dtype=dtype)


def _placeholders(form: Form, length: int) -> ak.contents.Content:
    keyed = form_with_unique_keys(form, "@")
    buffers = {key: placeholder(dtype) for key, dtype in keyed.expected_from_buffers().items()}
    return ak.from_buffers(keyed, length, buffers, highlevel=False)


def datashape_of(form: Form) -> str:
    """Write a form as a datashape, without the parameters that do not change its meaning."""
    return str(_plain(form).type)


def conform(array: ak.contents.Content, form: Form, column: str, where: str) -> ak.contents.Content:
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
        The file, for the error.

    Raises
    ------
    SchemaMismatchError
        Where it is something else.
    """
    found = array.form
    if found.is_equal_to(form):
        return array
    wanted_type, found_type = _plain(form).type, _plain(found).type
    if found_type == wanted_type:
        return _named(array, form)
    if not _widens(_plain(found), _plain(form)):
        raise SchemaMismatchError(
            f"The column {column!r} of {where} is {found_type}, but the form says {wanted_type}. "
            f"Give the form as the file has it: '{{{column}: {found_type}, ...}}'."
        )
    try:
        cast = _cast(array, form)
    except OverflowError as error:
        raise SchemaMismatchError(
            f"The column {column!r} of {where} is {found_type} and has {error}, but the form says "
            f"{wanted_type}. Give the form as the file has it."
        ) from None
    return _named(cast, form)


# Parameters that make another type of the same buffers; the others are for people.
_KINDS = frozenset({"string", "bytestring", "char", "byte", "categorical"})


def _plain(form: Form) -> Form:
    """Drop all parameters of a form but those that say string."""

    def strip(value: Any) -> Any:
        if isinstance(value, list):
            return [strip(item) for item in value]
        if not isinstance(value, dict):
            return value
        stripped = {key: strip(item) for key, item in value.items() if key != "parameters"}
        kind = (value.get("parameters") or {}).get("__array__")
        if kind in _KINDS:
            stripped["parameters"] = {"__array__": kind}
        return stripped

    return ak.forms.from_dict(strip(form.to_dict(verbose=False)))


def _cast(array: ak.contents.Content, form: Form) -> ak.contents.Content:
    """Cast to a form that the array's own widens to; `awkward.enforce_type` loses empty lists."""
    if form.is_option and not array.is_option:
        return ak.contents.UnmaskedArray.simplified(_cast(array, form.content))
    if array.is_indexed and not array.is_option:
        return _cast(array.project(), form)
    if array.is_numpy:
        numbers = _cast_numbers(array.data, form.primitive)
        return ak.contents.NumpyArray(numbers, parameters=array.parameters)
    if array.is_record:
        contents = [_cast(array.content(name), form.content(name)) for name in array.fields]
        return array.copy(contents=contents)
    if array.is_regular and not form.is_regular:
        return _cast(array.to_ListOffsetArray64(), form)
    return array.copy(content=_cast(array.content, form.content))


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
    parameters = form.parameters
    if array.is_record:
        contents = [_named(array.content(name), form.content(name)) for name in array.fields]
        return array.copy(contents=contents, parameters=parameters)
    if (array.is_list or array.is_option) and parameters.get("__array__") not in _KINDS:
        content = _named(array.content, form.content)
        return array.copy(content=content, parameters=parameters)
    return array


def _widens(found: Form, wanted: Form) -> bool:
    """Whether every value of one form is, unchanged, one of the other."""
    if wanted.is_option:
        return _widens(found.content if found.is_option else found, wanted.content)
    if found.is_indexed and not found.is_option:
        return _widens(found.content, wanted)
    if found.is_numpy and wanted.is_numpy:
        return found.inner_shape == wanted.inner_shape and np.can_cast(
            found.primitive, wanted.primitive, "safe"
        )
    if found.parameter("__array__") != wanted.parameter("__array__"):
        return False
    if found.is_list and wanted.is_list:
        same = not wanted.is_regular or (found.is_regular and found.size == wanted.size)
        return same and _widens(found.content, wanted.content)
    if found.is_record and wanted.is_record:
        return found.fields == wanted.fields and all(map(_widens, found.contents, wanted.contents))
    return False
