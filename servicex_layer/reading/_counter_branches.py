"""Counter branches that a file does not have: how many values each event has in jagged columns.

Uproot writes ``nJet`` beside ``Jet_pt``; C++ transformers, RNTuples and Parquet have no counters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import awkward as ak
import numpy as np
from awkward.forms import Form, RecordForm

from servicex_layer.errors import SchemaMismatchError

__all__ = ["count", "split"]


def split(wanted: RecordForm, found: RecordForm) -> tuple[RecordForm, dict[str, RecordForm]]:
    """Tell columns that can be read from counters that have to be derived.

    Parameters
    ----------
    wanted : awkward.forms.RecordForm
        All these columns.
    found : awkward.forms.RecordForm
        Those that the file has.

    Returns
    -------
    awkward.forms.RecordForm
        The columns to read.
    dict of str to awkward.forms.RecordForm
        Counters that the file does not have, with the jagged columns that they count.

    Examples
    --------
    >>> integer, jagged = ak.forms.NumpyForm("int32"), ak.Array([[0.5]]).layout.form
    >>> columns, counters = split(
    ...     RecordForm([integer, jagged], ["nJet", "Jet_pt"]),
    ...     RecordForm([jagged], ["Jet_pt"]),
    ... )
    >>> columns.fields, counters["nJet"].fields
    (['Jet_pt'], ['Jet_pt'])
    """
    counters = {}
    for name in wanted.fields:
        if name not in found.fields and _may_count(name, wanted.content(name)):
            jagged = _jagged(name[1:], found)
            if jagged.fields:
                counters[name] = jagged
    fields = [name for name in wanted.fields if name not in counters]
    return wanted.copy(contents=[wanted.content(name) for name in fields], fields=fields), counters


def count(
    form: Form, columns: Mapping[str, ak.contents.Content], name: str, where: str
) -> ak.contents.Content:
    """Make a counter of the columns that it counts.

    Parameters
    ----------
    form : awkward.forms.NumpyForm
        The integers that it should be.
    columns : mapping of str to awkward.contents.Content
        The jagged columns, by their names.
    name : str
        The counter's name, for the error.
    where : str
        The file, for the error.

    Raises
    ------
    SchemaMismatchError
        Where the columns differ in their counts, or the integers cannot hold them.
    """
    (first, counts), *others = [(key, _counts(array)) for key, array in columns.items()]
    for other, more in others:
        if not np.array_equal(counts, more):
            raise SchemaMismatchError(
                f"The column {name!r} is in the form but not in {where}, and cannot be the number "
                f"of values in each event: {first!r} and {other!r} differ in theirs."
            )
    if counts.max(initial=0) > np.iinfo(form.primitive).max:
        raise SchemaMismatchError(
            f"The column {name!r} is in the form as {form.primitive} but not in {where}, where "
            f"{first!r} has events of {counts.max()} values: too many for {form.primitive}."
        )
    return ak.contents.NumpyArray(counts.astype(form.primitive))


def _may_count(name: str, form: Form) -> bool:
    return (
        len(name) > 1
        and name.startswith("n")
        and form.is_numpy
        and not form.inner_shape
        and np.dtype(form.primitive).kind in "iu"
    )


def _jagged(what: str, found: RecordForm) -> RecordForm:
    """Find the column with this name, or else those whose names begin with it."""
    named = [what] if what in found.fields else found.fields
    fields = [
        name
        for name in named
        if (name == what or name.startswith(f"{what}_")) and _is_jagged(found.content(name))
    ]
    return RecordForm([found.content(name) for name in fields], fields)


def _is_jagged(form: Form) -> bool:
    is_text = form.parameter("__array__") in ("string", "bytestring")
    return form.is_list and not form.is_regular and not is_text


def _counts(array: ak.contents.Content) -> Any:
    return ak.to_numpy(ak.num(array, axis=1, highlevel=False))
