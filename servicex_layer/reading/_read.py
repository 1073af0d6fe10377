"""Reads chosen columns of one result, in any of the formats that ServiceX writes."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

import awkward as ak
from awkward.forms import RecordForm

from servicex_layer.errors import NoTreeError, SchemaMismatchError
from servicex_layer.reading._casting import cast_to_form
from servicex_layer.reading._columns import select_columns
from servicex_layer.reading._counter_branches import count, split
from servicex_layer.transport import ByteSource, Local, Remote, ResultSource

__all__ = ["Table", "open_bytes", "open_result", "open_table", "read", "read_form"]


class Table(Protocol):
    """The columns of one opened file."""

    entries: int
    nested: bool
    """Whether it can read some fields of a record without the others."""

    def form(self) -> RecordForm:
        """Tell what the columns are, without reading one."""
        ...

    def read(
        self, form: RecordForm, offsets_only: frozenset[str] = frozenset()
    ) -> dict[str, ak.contents.Content]:
        """Read the columns of a form; of lists that are `offsets_only` perhaps only the lengths."""
        ...


def read(
    source: ResultSource,
    form: RecordForm,
    columns: frozenset[str] | None,
    tree: str | None,
    offsets_only: frozenset[str] = frozenset(),
) -> ak.contents.RecordArray:
    """Read columns of a result.

    Parameters
    ----------
    source : ResultSource
        The result.
    form : awkward.forms.RecordForm
        What its columns are.
    columns : frozenset of str or None
        Which of them to read, fields of records with dots; ``None`` for all.
    tree : str or None
        The tree's name; ``None`` for the file's only one.
    offsets_only : frozenset of str
        Those of the columns that are lists of which just the lengths are needed. Where the file
        has these apart from what is in the lists, placeholders stand for that.

    Returns
    -------
    awkward.contents.RecordArray
        One record per event, with these columns only.

    Raises
    ------
    ResultError
        Where it cannot be had, or is not what it should be.
    """
    opened = open_result(source, tree)
    if opened is None:
        return select_columns(form, columns).length_zero_array(highlevel=False)
    with opened as table:
        wanted = select_columns(form, columns, nested=table.nested)
        found = _read(table, wanted, offsets_only, source.what)
        contents = [
            cast_to_form(found[name], wanted.content(name), name, source.what, form)
            for name in wanted.fields
        ]
        return ak.contents.RecordArray(
            contents, wanted.fields, length=table.entries, parameters=wanted.parameters
        )


def _read(
    table: Table, wanted: RecordForm, offsets_only: frozenset[str], where: str
) -> dict[str, ak.contents.Content]:
    """Read the columns of a form; counters that the file does not have are derived."""
    try:
        return table.read(wanted, offsets_only)
    except SchemaMismatchError:
        there, counters = split(wanted, table.form())
        if not counters:
            raise
    found = table.read(there, offsets_only.intersection(there.fields))
    for name, jagged in counters.items():
        columns = table.read(jagged, frozenset(jagged.fields))
        found[name] = count(wanted.content(name), columns, name, where)
    return found


def open_result(source: ResultSource, tree: str | None) -> AbstractContextManager[Table] | None:
    """Open a result; ``None`` where it has no events and not the tree either.

    Parameters are those of `read`, as are the errors.
    """
    try:
        return open_table(source, tree)
    except NoTreeError:
        # A transformer that selects nothing in a file may write no tree. That of another name is
        # there where the name is mistyped: 0 events are also told by who did not count them.
        if source.file.events != 0:
            raise
        return None


def read_form(source: ResultSource, tree: str | None) -> RecordForm:
    """Tell the form of a result, without reading an event.

    Parameters are those of `read`, as are the errors.
    """
    with open_table(source, tree) as table:
        return table.form()


def open_table(source: ResultSource, tree: str | None) -> AbstractContextManager[Table]:
    """Open a result that has a tree.

    Parameters are those of `read`, as are the errors.
    """
    return open_bytes(_body(source), source.file.format, tree, source.what)


def open_bytes(
    body: ByteSource, result_format: str, tree: str | None, what: str
) -> AbstractContextManager[Table]:
    """Open the bytes of a file that has a tree.

    Parameters
    ----------
    body : ByteSource
        The bytes.
    result_format : str
        ``root-file``, ``root-rntuple`` or ``parquet``.
    tree, what
        As in `read`, and the file's name in errors.
    """
    # Uproot and pyarrow are slow to import, and making an array needs neither.
    if result_format == "parquet":
        from servicex_layer.reading._parquet import ParquetTable

        return ParquetTable(body, what)
    from servicex_layer.reading._root import RootTree

    return RootTree(body, tree, what)


def _body(source: ResultSource) -> ByteSource:
    location = source.locate(None)
    if location.path is not None:
        return Local(source, location.path)
    return Remote(source, location)
