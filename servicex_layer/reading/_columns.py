"""Choosing columns of a form, and fields of the records in them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from awkward.forms import RecordForm

from servicex_layer.errors import SchemaMismatchError

__all__ = ["missing_column_error", "select_columns"]


def missing_column_error(name: str, file: str, columns: Iterable[str]) -> SchemaMismatchError:
    """Return the error for a column that a file lacks.

    Parameters
    ----------
    name : str
        The missing column.
    file : str
        Names the file in the message.
    columns : iterable of str
        The columns of the file.
    """
    return SchemaMismatchError(
        f"The column {name!r} is in the form but not in {file}, which has {', '.join(columns)}."
    )


def select_columns(
    form: RecordForm, columns: frozenset[str] | None, *, nested: bool = True
) -> RecordForm:
    """Return the part of a form that has the named columns.

    Parameters
    ----------
    form : awkward.forms.RecordForm
        The form of all columns.
    columns : frozenset of str or None
        Their names. The name of a field within a record begins with the record's name and a dot.
        ``None`` selects all columns.
    nested : bool
        Whether to select fields of a record without the others.

    Examples
    --------
    >>> import awkward as ak
    >>> muons = ak.forms.from_type(
    ...     ak.types.from_datashape(
    ...         "{muons: var * {pt: float64, eta: float64}, met: float32}", highlevel=False
    ...     )
    ... )
    >>> print(select_columns(muons, frozenset({"muons.pt"})).type)
    {muons: var * {pt: float64}}
    """
    if columns is None:
        return form
    parents = {
        column[:index] for column in columns for index, letter in enumerate(column) if letter == "."
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
            selected = _select(content, columns, parents, f"{path}.") if nested else content
            if selected.fields:
                contents[name] = selected
    return form.copy(contents=list(contents.values()), fields=list(contents))
