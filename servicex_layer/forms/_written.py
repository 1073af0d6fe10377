"""Forms that a user writes down: awkward forms, datashapes, and dictionaries of columns."""

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
    """Make the form of a result of what a user writes down.

    Parameters
    ----------
    form : awkward.forms.Form or str or mapping
        What one event looks like: a record form, a datashape such as
        ``"{JetPt: var * float64, met: float32}"``, or the type of each column by its name: a
        datashape, a NumPy dtype, or an awkward type or form.

    Returns
    -------
    awkward.forms.RecordForm
        The form of an event.

    Raises
    ------
    FormError
        Where it is none of these, or not of records.

    Examples
    --------
    >>> print(as_form("{JetPt: var * float64}").type)
    {JetPt: var * float64}
    >>> print(as_form({"JetPt": "var * float64", "n": np.int32}).type)
    {JetPt: var * float64, n: int32}
    """
    made: Form
    if isinstance(form, str):
        parsed = _parsed(form, f"form={form!r}", "{JetPt: var * float64, met: float32}")
        # "50000 * {...}", as the printed type of an array begins, has a length around the record.
        lengthy = isinstance(parsed, (ArrayType, ListType, RegularType))
        made = ak.forms.from_type(parsed.content if lengthy else parsed)
    elif isinstance(form, Mapping):
        made = RecordForm([column_form(form[name], name) for name in form], [*map(_name, form)])
    else:
        made = form
    if not isinstance(made, Form):
        raise FormError(
            f"form={form!r} is neither an awkward form nor a datashape or dictionary of columns, "
            f"but a {type(form).__name__}."
        )
    if not isinstance(made, RecordForm) or made.is_tuple:
        raise FormError(
            f"The form {datashape_of(made)} is not one of records with named fields; a result file "
            "has named columns. Write it like '{JetPt: var * float64}'."
        )
    return made


def column_form(kind: Any, name: object) -> Form:
    """Make the form of a column of what a user writes down for its type.

    Parameters
    ----------
    kind : str or numpy.dtype or awkward.types.Type or awkward.forms.Form
        The type; a text is a datashape.
    name : str
        The column's name, for the error.

    Raises
    ------
    FormError
        Where it is none of these.
    """
    if isinstance(kind, Form):
        return kind
    if isinstance(kind, Type):
        return ak.forms.from_type(kind)
    if isinstance(kind, str):
        parsed = _parsed(kind, f"The type {kind!r} of the column {name!r}", "var * float64")
        return ak.forms.from_type(parsed)
    # NumPy takes None for float64.
    if kind is not None:
        with suppress(TypeError, ValueError):
            return ak.forms.from_dtype(np.dtype(kind).newbyteorder("="))
    raise FormError(
        f"The type of the column {name!r} is {kind!r}, which is neither a datashape, as in "
        "'var * float64', nor a NumPy dtype, nor an awkward type or form."
    )


def _name(name: object) -> str:
    if not isinstance(name, str):
        raise FormError(f"A column's name must be a text, and {name!r} is none.")
    return name


def _parsed(text: str, what: str, like: str) -> Any:
    try:
        return ak.types.from_datashape(text, highlevel=False)
    # the parser has exceptions of its own, which have nothing in common
    except Exception as error:
        said = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise FormError(f"{what} is no datashape: {said}. Write it like {like!r}.") from error
