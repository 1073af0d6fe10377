"""The columns of an open result as virtual arrays: read when they are touched."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import awkward as ak
from awkward.forms import RecordForm, form_with_unique_keys

from servicex_layer.errors import ResultError
from servicex_layer.reading import Table, cast_to_form, select_columns

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
        self._buffers: dict[str, dict[str, Any]] = {}
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
        contents: list[Any] = []
        container: dict[str, Callable[[], Any]] = {}
        for place, name in enumerate(self.form.fields):
            keyed = form_with_unique_keys(self.form.content(name), f"@{place}")
            contents.append(keyed)
            column = RecordForm([keyed], [name])
            # A list's lengths are read with the first column within it.
            for leaf in column.columns():
                for key in select_columns(column, frozenset([leaf])).expected_from_buffers():
                    container.setdefault(key, partial(self._buffer, column, leaf, key))
        form = RecordForm(contents, self.form.fields, parameters=self.form.parameters)
        return ak.from_buffers(form, self.entries, container, highlevel=False)

    def _buffer(self, column: RecordForm, leaf: str, key: str) -> Any:
        with self._lock:
            if leaf not in self._buffers:
                (name,) = column.fields
                content = self.content(name, leaf)
                form = select_columns(column, frozenset([leaf])).content(name)
                self._buffers[leaf] = _buffers_by_key(content, form)
            return self._buffers[leaf][key]


def _buffers_by_key(content: ak.contents.Content, form: Any) -> dict[str, Any]:
    """Return the buffers of an array by the keys of a form of the same type."""
    own_form, _, own_buffers = ak.to_buffers(content)
    keys = zip(form.expected_from_buffers(), own_form.expected_from_buffers(), strict=True)
    dtypes = form.expected_from_buffers()
    return {key: own_buffers[own].astype(dtypes[key], copy=False) for key, own in keys}
