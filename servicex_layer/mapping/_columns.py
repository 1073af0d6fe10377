"""The columns of an open result as virtual arrays: read when they are touched."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

import awkward as ak
from awkward.forms import RecordForm

from servicex_layer.errors import ResultError
from servicex_layer.reading import (
    LateBuffer,
    LateBuffers,
    Table,
    buffers_of,
    cast_to_form,
    column_of_buffer,
    form_of_buffers,
    select_columns,
)

if TYPE_CHECKING:
    from servicex_layer.reading import RootTree

__all__ = ["Columns"]


class Columns:
    """The columns of an open result.

    Safe to use from several threads.

    Parameters
    ----------
    table : Table
        The open result.
    name : str
        The file, for errors.
    """

    def __init__(self, table: Table, name: str) -> None:
        self.form = table.form()
        self.entries = table.entries
        self.name = name
        self.touched: set[str] = set()
        """Names of the columns that were read, those within records with dots."""
        self._table: Table | None = table
        self._buffer_form = form_of_buffers(self.form)
        self._buffers = LateBuffers(self._load)
        self._lock = threading.RLock()

    def close(self) -> None:
        """Let go of the file: what was not touched can't be read any more."""
        with self._lock:
            self._table = None
            self._buffers.clear()

    def prefetch(self, columns: Iterable[str]) -> None:
        """Fetch the bytes of columns of a ROOT file at once; those that it lacks are left out."""
        chosen = select_columns(self.form, frozenset(columns))
        if hasattr(self._table, "fetch") and chosen.fields:
            cast("RootTree", self._table).fetch(chosen)

    def content(self, name: str, *columns: str) -> ak.contents.Content:
        """Read a column; if it has fields, only those of these names, which begin with its own.

        Raises
        ------
        ResultError
            If the file is closed, or can't be read.
        """
        with self._lock:
            table = self._table
            if table is None:
                raise ResultError(
                    f"{self.name} is closed, and its column {name!r} was not read before: read in "
                    "the function what you return, as in awkward.materialize(events.pt)."
                )
            self.touched.update(columns or [name])
            column = RecordForm([self.form.content(name)], [name])
            form = select_columns(column, frozenset(columns) or None, nested=table.nested)
            content = table.read(form)[name]
            return cast_to_form(content, form.content(name), name, self.name, self.form)

    def virtual(self) -> ak.contents.Content:
        """Return all columns as one record array whose buffers are read when they are touched."""
        form = self._buffer_form
        container = {key: LateBuffer(self._buffers, key) for key in form.expected_from_buffers()}
        return ak.from_buffers(form, self.entries, container, highlevel=False)

    def _load(self, key: str) -> dict[str, Any]:
        name, column = column_of_buffer(self._buffer_form, key)
        record = ak.contents.RecordArray([self.content(name, column)], [name])
        return buffers_of(record, self._buffer_form)
