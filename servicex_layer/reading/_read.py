"""Chooses the reader by the format of the result, and reads the chosen columns."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

import awkward as ak
from awkward.forms import RecordForm

from servicex_layer.errors import NoTreeError, SchemaMismatchError
from servicex_layer.reading._casting import cast_to_form
from servicex_layer.reading._columns import select_columns
from servicex_layer.reading._counter_branches import derive_counter, split_missing_counters
from servicex_layer.transport import ByteSource, ResultSource, open_source

__all__ = ["Table", "open_bytes", "open_result", "open_table", "read", "read_form"]


class Table(Protocol):
    """The columns of one open file."""

    entries: int
    nested: bool
    """Whether it can read fields of a record without the others."""

    def form(self) -> RecordForm:
        """Return the form of all columns, without reading one."""
        ...

    def read(
        self, form: RecordForm, offsets_only: frozenset[str] = frozenset()
    ) -> dict[str, ak.contents.Content]:
        """Read the columns of a form; for `offsets_only` columns, the lengths of lists suffice."""
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
        The form of its columns.
    columns : frozenset of str or None
        The columns to read, with dots for fields of records; ``None`` for all.
    tree : str or None
        The name of the tree; ``None`` for the file's only one.
    offsets_only : frozenset of str
        Columns of lists, of which only the lengths are needed. If the file stores these apart from
        the items, the items become placeholders.

    Returns
    -------
    awkward.contents.RecordArray
        One record per event, with the chosen columns.

    Raises
    ------
    ResultError
        If the result cannot be fetched, cannot be read, or does not match the form.
    """
    opened = open_result(source, tree)
    if opened is None:
        return select_columns(form, columns).length_zero_array(highlevel=False)
    with opened as table:
        form, whole_form = select_columns(form, columns, nested=table.nested), form
        arrays = _read_or_derive(table, form, offsets_only, source.description)
        contents = [
            cast_to_form(arrays[name], form.content(name), name, source.description, whole_form)
            for name in form.fields
        ]
        return ak.contents.RecordArray(
            contents, form.fields, length=table.entries, parameters=form.parameters
        )


def _read_or_derive(
    table: Table, form: RecordForm, offsets_only: frozenset[str], file: str
) -> dict[str, ak.contents.Content]:
    """Read the columns of a form, and derive the counters that the file lacks."""
    try:
        return table.read(form, offsets_only)
    except SchemaMismatchError:
        stored, counters = split_missing_counters(form, table.form())
        if not counters:
            raise
    arrays = table.read(stored, offsets_only.intersection(stored.fields))
    for name, jagged in counters.items():
        columns = table.read(jagged, frozenset(jagged.fields))
        arrays[name] = derive_counter(form.content(name), columns, name, file)
    return arrays


def open_result(source: ResultSource, tree: str | None) -> AbstractContextManager[Table] | None:
    """Open a result; ``None`` if it has no events and no tree.

    Parameters and errors are those of `read`.
    """
    try:
        return open_table(source, tree)
    except NoTreeError:
        # A transformer that selects no event of a file may write no tree. A file that reports
        # events must have one.
        if source.file.events != 0:
            raise
        return None


def read_form(source: ResultSource, tree: str | None) -> RecordForm:
    """Return the form of a result, without reading an event.

    Parameters and errors are those of `read`.
    """
    with open_table(source, tree) as table:
        return table.form()


def open_table(source: ResultSource, tree: str | None) -> AbstractContextManager[Table]:
    """Open a result that has a tree.

    Parameters and errors are those of `read`.
    """
    return open_bytes(open_source(source), source.file.format, tree, source.description)


def open_bytes(
    body: ByteSource, result_format: str, tree: str | None, file: str
) -> AbstractContextManager[Table]:
    """Open the bytes of a file that has a tree.

    Parameters
    ----------
    body : ByteSource
        The bytes.
    result_format : {"root-file", "root-rntuple", "parquet"}
        The format.
    tree : str or None
        The name of the tree; ``None`` for the file's only one.
    file : str
        Names the file in errors.

    Raises
    ------
    ResultError
        If the bytes cannot be read as this format, or do not have this tree.
    """
    # Uproot and pyarrow are slow to import, and making an array needs neither.
    if result_format == "parquet":
        from servicex_layer.reading._parquet import ParquetTable

        return ParquetTable(body, file)
    from servicex_layer.reading._root import RootTree

    return RootTree(body, tree, file)
