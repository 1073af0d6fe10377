"""The columns that an analysis needs, and their names in ``filter_name``."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable

import numpy as np
from awkward.forms import RecordForm

__all__ = ["escape", "input_columns"]


def input_columns(needed: Iterable[str], form: RecordForm) -> tuple[str, ...]:
    """Return the columns to select in the input, sorted; at least one.

    Parameters
    ----------
    needed : iterable of str
        The columns that a computation reads; a field of a record is ``record.field``.
    form : awkward.forms.RecordForm
        The form of an event of the input.
    """
    fields = set(form.fields)
    columns = {name if name in fields else name.partition(".")[0] for name in needed}
    # Without any column there would be no result, and no number of events.
    return tuple(sorted(columns or {_smallest(form)}))


def escape(name: str) -> str:
    """Write the name of a column as a filter that matches it alone."""
    # Uproot takes "/…/" for a regular expression.
    is_regular_expression = re.fullmatch(r"/.*/[iLmsux]*", name, re.DOTALL) is not None
    escaped: str = glob.escape(name)
    return f"[/]{escaped[1:]}" if is_regular_expression else escaped


def _smallest(form: RecordForm) -> str:
    """Return the column of the fewest bytes per event."""

    def size(name: str) -> float:
        content = form.content(name)
        is_number = content.is_numpy and not content.inner_shape
        return float(np.dtype(content.primitive).itemsize) if is_number else np.inf

    return str(min(form.fields, key=size))
