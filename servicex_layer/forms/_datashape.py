"""Forms written out by the user: awkward forms, datashapes, and dictionaries of columns."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import awkward as ak
import numpy as np
from awkward.forms import Form, RecordForm
from awkward.types import ArrayType, ListType, RegularType, Type

from servicex_layer.errors import FormError
from servicex_layer.reading import datashape_of

__all__ = ["as_form", "column_form"]


def as_form(form: Form | str | Mapping[str, Any]) -> RecordForm:
    """Return the awkward form of a datashape or of a dictionary of columns.

    Parameters
    ----------
    form : awkward.forms.Form or str or mapping
        The type of one event: a record form, a datashape such as
        ``"{JetPt: var * float64, met: float32}"``, or a mapping from the name of each column to its
        type, as a datashape, a NumPy dtype, or an awkward type or form.

    Returns
    -------
    awkward.forms.RecordForm
        The form of an event.

    Raises
    ------
    FormError
        If `form` is none of these, or is not a record.

    Examples
    --------
    >>> print(as_form("{JetPt: var * float64}").type)
    {JetPt: var * float64}
    >>> print(as_form({"JetPt": "var * float64", "n": np.int32}).type)
    {JetPt: var * float64, n: int32}
    """
    event_form: Form
    if isinstance(form, str):
        parsed = _parse(form, f"form={form!r}", "{JetPt: var * float64, met: float32}")
        # The printed type of an array has its length in front: "50000 * {...}".
        has_length = isinstance(parsed, (ArrayType, ListType, RegularType))
        event_form = ak.forms.from_type(parsed.content if has_length else parsed)
    elif isinstance(form, Mapping):
        contents = [column_form(form[name], name) for name in form]
        event_form = RecordForm(contents, [_check_name(name) for name in form])
    else:
        event_form = form
    if not isinstance(event_form, Form):
        raise FormError(
            f"form={form!r} must be an awkward form, a datashape or a dictionary of columns, not "
            f"of type {type(form).__name__}."
        )
    if not isinstance(event_form, RecordForm) or event_form.is_tuple:
        raise FormError(
            f"The form {datashape_of(event_form)} must be a record: a result file has named "
            "columns. Write it like '{JetPt: var * float64}'."
        )
    return event_form


def column_form(column_type: Any, name: object) -> Form:
    """Return the awkward form of a column's type.

    Parameters
    ----------
    column_type : str or numpy.dtype or awkward.types.Type or awkward.forms.Form
        The type; a string is a datashape.
    name : str
        The column's name, for errors.

    Raises
    ------
    FormError
        If `column_type` is none of these.
    """
    if isinstance(column_type, Form):
        return column_type
    if isinstance(column_type, Type):
        return ak.forms.from_type(column_type)
    if isinstance(column_type, str):
        subject = f"The type {column_type!r} of the column {name!r}"
        return ak.forms.from_type(_parse(column_type, subject, "var * float64"))
    # NumPy takes None for float64.
    if column_type is not None:
        with suppress(TypeError, ValueError):
            return ak.forms.from_dtype(np.dtype(column_type).newbyteorder("="))
    raise FormError(
        f"The type of the column {name!r} must be a datashape such as 'var * float64', a NumPy "
        f"dtype, or an awkward type or form, not {column_type!r}."
    )


def _check_name(name: object) -> str:
    if not isinstance(name, str):
        raise FormError(f"The name of a column must be a string, not {name!r}.")
    return name


def _parse(text: str, subject: str, example: str) -> Any:
    try:
        return ak.types.from_datashape(text, highlevel=False)
    # The errors of awkward's parser have no common base class.
    except Exception as error:
        message = str(error).strip() or type(error).__name__
        raise FormError(
            f"{subject} is not a valid datashape: {message.splitlines()[0]}. Write it like "
            f"{example!r}."
        ) from error
