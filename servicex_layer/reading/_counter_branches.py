"""Counter branches that a file lacks: the number of values that jagged columns have in each event.

Uproot writes ``nJet`` beside ``Jet_pt``; C++ transformers, RNTuples and Parquet have no counters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import awkward as ak
import numpy as np
from awkward.forms import Form, RecordForm

from servicex_layer.errors import SchemaMismatchError

__all__ = ["derive_counter", "split_missing_counters"]


def split_missing_counters(
    form: RecordForm, file_form: RecordForm
) -> tuple[RecordForm, dict[str, RecordForm]]:
    """Split a form into columns to read and counters to derive.

    Parameters
    ----------
    form : awkward.forms.RecordForm
        The form of all requested columns.
    file_form : awkward.forms.RecordForm
        The form of the file.

    Returns
    -------
    awkward.forms.RecordForm
        The form of the columns to read.
    dict of str to awkward.forms.RecordForm
        The counters that the file lacks, each with the form of the jagged columns that it counts.

    Examples
    --------
    >>> integer, jagged = ak.forms.NumpyForm("int32"), ak.Array([[0.5]]).layout.form
    >>> columns, counters = split_missing_counters(
    ...     RecordForm([integer, jagged], ["nJet", "Jet_pt"]),
    ...     RecordForm([jagged], ["Jet_pt"]),
    ... )
    >>> columns.fields, counters["nJet"].fields
    (['Jet_pt'], ['Jet_pt'])
    """
    counters = {}
    for name in form.fields:
        if name not in file_form.fields and _may_be_counter(name, form.content(name)):
            jagged = _jagged_columns(name[1:], file_form)
            if jagged.fields:
                counters[name] = jagged
    fields = [name for name in form.fields if name not in counters]
    return form.copy(contents=[form.content(name) for name in fields], fields=fields), counters


def derive_counter(
    form: Form, columns: Mapping[str, ak.contents.Content], name: str, file: str
) -> ak.contents.Content:
    """Count the values in each event of jagged columns.

    Parameters
    ----------
    form : awkward.forms.NumpyForm
        The counter's form, of integers.
    columns : mapping of str to awkward.contents.Content
        The jagged columns by their names.
    name : str
        The counter's name.
    file : str
        Names the file in errors.

    Raises
    ------
    SchemaMismatchError
        If the columns have different counts, or the integers cannot hold them.
    """
    (first, counts), *others = [(column, _counts(array)) for column, array in columns.items()]
    for other, other_counts in others:
        if not np.array_equal(counts, other_counts):
            raise SchemaMismatchError(
                f"The column {name!r} is in the form but not in {file}, and cannot be derived: "
                f"{first!r} and {other!r} have different numbers of values in an event."
            )
    if counts.max(initial=0) > np.iinfo(form.primitive).max:
        raise SchemaMismatchError(
            f"The column {name!r} is in the form as {form.primitive} but not in {file}, where "
            f"{first!r} has up to {counts.max()} values in an event: too many for "
            f"{form.primitive}."
        )
    return ak.contents.NumpyArray(counts.astype(form.primitive))


def _may_be_counter(name: str, form: Form) -> bool:
    return (
        len(name) > 1
        and name.startswith("n")
        and form.is_numpy
        and not form.inner_shape
        and np.dtype(form.primitive).kind in "iu"
    )


def _jagged_columns(stem: str, file_form: RecordForm) -> RecordForm:
    """Select the jagged column of this name or, if there is none, those with it as a prefix."""
    candidates = [stem] if stem in file_form.fields else file_form.fields
    fields = [
        name
        for name in candidates
        if (name == stem or name.startswith(f"{stem}_")) and _is_jagged(file_form.content(name))
    ]
    return RecordForm([file_form.content(name) for name in fields], fields)


def _is_jagged(form: Form) -> bool:
    is_text = form.parameter("__array__") in ("string", "bytestring")
    return form.is_list and not form.is_regular and not is_text


def _counts(array: ak.contents.Content) -> Any:
    return ak.to_numpy(ak.num(array, axis=1, highlevel=False))
