"""Reads chosen columns of one result, in any of the formats that ServiceX writes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

import awkward as ak
from awkward.forms import RecordForm

from servicex_layer.errors import TreeNotFoundError
from servicex_layer.forms import conform, select
from servicex_layer.model import Location, ResultFile
from servicex_layer.transfer import Body, Local, Remote

__all__ = ["Locate", "Table", "form_of", "open_result", "open_table", "read"]

Locate = Callable[[str | None], Location]


class Table(Protocol):
    """The columns of one opened file."""

    entries: int
    nested: bool
    """Whether it can read some fields of a record without the others."""

    def form(self) -> RecordForm:
        """Tell what the columns are, without reading one."""
        ...

    def read(self, form: RecordForm) -> dict[str, ak.contents.Content]:
        """Read the columns of a form."""
        ...


def read(
    file: ResultFile,
    locate: Locate,
    form: RecordForm,
    columns: frozenset[str] | None,
    tree: str | None,
    what: str,
) -> ak.contents.RecordArray:
    """Read columns of a result.

    Parameters
    ----------
    file : ResultFile
        The result.
    locate : callable
        Gives its location; called with a URL where that was refused.
    form : awkward.forms.RecordForm
        What its columns are.
    columns : frozenset of str or None
        Which of them to read, fields of records with dots; ``None`` for all.
    tree : str or None
        The tree's name; ``None`` for the file's only one.
    what : str
        Which file, for errors.

    Returns
    -------
    awkward.contents.RecordArray
        One record per event, with these columns only.

    Raises
    ------
    ResultError
        Where it cannot be had, or is not what it should be.
    """
    opened = open_result(file, locate, tree, what)
    if opened is None:
        return select(form, columns).length_zero_array(highlevel=False)
    with opened as table:
        wanted = select(form, columns, nested=table.nested)
        found = table.read(wanted)
        contents = [
            conform(found[name], wanted.content(name), name, what) for name in wanted.fields
        ]
        return ak.contents.RecordArray(
            contents, wanted.fields, length=table.entries, parameters=wanted.parameters
        )


def open_result(
    file: ResultFile, locate: Locate, tree: str | None, what: str
) -> AbstractContextManager[Table] | None:
    """Open a result; ``None`` where it has no events and no tree either.

    Parameters are those of `read`, as are the errors.
    """
    try:
        return open_table(file, locate, tree, what)
    except TreeNotFoundError:
        # A transformer that selects nothing in a file may write no tree.
        if file.events != 0:
            raise
        return None


def form_of(file: ResultFile, locate: Locate, tree: str | None, what: str) -> RecordForm:
    """Tell the form of a result, without reading an event.

    Parameters are those of `read`, as are the errors.
    """
    with open_table(file, locate, tree, what) as table:
        return table.form()


def open_table(
    file: ResultFile, locate: Locate, tree: str | None, what: str
) -> AbstractContextManager[Table]:
    """Open a result that has a tree.

    Parameters are those of `read`, as are the errors.
    """
    body = _body(file, locate, what)
    # Uproot and pyarrow are not needed to make an array, and take their time to import.
    if file.format == "parquet":
        from servicex_layer.parquet_files import ParquetTable

        return ParquetTable(body, what)
    from servicex_layer.root_files import RootTree

    return RootTree(body, tree, what)


def _body(file: ResultFile, locate: Locate, what: str) -> Body:
    location = locate(None)
    if location.path is not None:
        return Local(file, location.path, what)
    return Remote(file, location, locate, what)
