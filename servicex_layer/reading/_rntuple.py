"""The columns of an RNTuple: its fields, read by Uproot."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from typing import Any

import awkward as ak
import numpy as np
from awkward.forms import Form, RecordForm

from servicex_layer.reading._columns import missing_column_error
from servicex_layer.transport import Range

__all__ = ["Fields", "only_fields"]


class Fields:
    """The fields at the top, and those within their records.

    Parameters
    ----------
    key : uproot.reading.ReadOnlyKey
        The key of the RNTuple.
    file : str
        Names the file in errors.

    Raises
    ------
    SchemaMismatchError
        By every method that takes the name of a column, if the RNTuple lacks it.
    """

    nested = True

    tree: Any
    """Uproot's RNTuple."""

    def __init__(self, key: Any, file: str) -> None:
        self.tree = key.get()
        self._file = file
        self.entries = int(self.tree.num_entries)

    def form(self) -> RecordForm:
        """Return the form of all columns, without reading one."""
        form, _ = self.tree.to_akform()
        return form

    def title(self, name: str | None = None) -> str:
        """Return the description of a column, or of the RNTuple."""
        title: str = (self.tree if name is None else self._column(name)).description
        return title

    def typename(self, name: str) -> str:
        """Return the C++ type of a column."""
        typename: str = self._column(name).typename
        return typename

    def ranges(self, form: RecordForm) -> Iterator[Range]:
        """Return the ranges of bytes that hold the columns of a form.

        Uproot by itself asks for one page after the other.
        """
        if form.fields:
            leaves = self._leaves(form)
            with self._only(form):
                file_form, _ = self.tree.to_akform(filter_field=leaves)
            yield from self._pages(_column_numbers(file_form))

    def read(self, form: RecordForm) -> dict[str, ak.contents.Content]:
        """Read the columns of a form; of their records only the fields in the form."""
        if not form.fields:
            return {}
        leaves = self._leaves(form)
        with self._only(form):
            arrays = self.tree.arrays(filter_field=leaves)
        return {name: arrays[name].layout for name in form.fields}

    def counters(self, names: frozenset[str]) -> dict[str, Any]:
        """Return the fields of lists: an RNTuple stores their lengths apart from the items."""
        fields = {name: self._column(name) for name in names}
        return {name: field for name, field in fields.items() if _is_list(self._form(field))}

    def length_ranges(self, counter: Any) -> Iterator[Range]:
        """Return the ranges of bytes that hold the lengths of a field's lists."""
        yield from self._pages(_column_numbers(self._form(counter), recursive=False))

    def lengths(self, counter: Any) -> Any:
        """Read the lengths of a field's lists."""
        # A virtual array reads a buffer when it is used: here the offsets, and not the items.
        with only_fields(self.tree, [counter]):
            lists = self.tree.arrays(filter_field=_is_any_of([counter]), virtual=True)
        return np.diff(lists[lists.fields[0]].layout.offsets.data.materialize())

    @cached_property
    def _columns(self) -> dict[str, Any]:
        return {field.name: field for field in self.tree.fields}

    def _column(self, name: str) -> Any:
        if name not in self._columns:
            raise missing_column_error(name, self._file, self._columns)
        return self._columns[name]

    def _only(self, form: RecordForm) -> AbstractContextManager[None]:
        return only_fields(self.tree, [self._column(name) for name in form.fields])

    def _form(self, column: Any) -> Form:
        with only_fields(self.tree, [column]):
            form, _ = self.tree.to_akform(filter_field=_is_any_of([column]))
        return form.content(0)

    def _leaves(self, form: RecordForm) -> Callable[[Any], bool]:
        # Uproot finds no field by its path if a name in the path has a dot, as in xAOD.
        with self._only(form):
            fields = dict(self.tree.items())
        paths = [path for name in form.fields for path in _leaf_paths(form.content(name), name)]
        for path in paths:
            if path not in fields:
                raise missing_column_error(path, self._file, fields)
        return _is_any_of(fields[path] for path in paths)

    def _pages(self, columns: set[int]) -> Iterator[Range]:
        """Return the ranges of bytes of all pages of the fields that have these columns."""
        records = self.tree.column_records
        # A cluster may hold the values of a field in another of its columns.
        fields = {records[column].field_id for column in columns}
        for cluster in self.tree.page_link_list:
            for record, column in zip(records, cluster, strict=False):
                if record.field_id in fields:
                    for page in column.pages:
                        start = page.locator.offset
                        yield start, start + page.locator.num_bytes


@contextmanager
def only_fields(ntuple: Any, fields: list[Any]) -> Iterator[None]:
    """Have Uproot look at only some of the fields at the top of an RNTuple.

    Whatever is read, Uproot looks at all fields, and to find the subfields of each it looks at all
    fields again: with 2 000 fields that takes seconds. Uproot keeps the fields at the top in
    ``RNTuple._fields``, which is undocumented. If that changes, reading is slower but right, and a
    test in tests/reading/test_rntuple.py fails.
    """
    all_fields = ntuple.fields
    ntuple._fields = fields
    try:
        yield
    finally:
        ntuple._fields = all_fields


def _column_numbers(form: Form, *, recursive: bool = True) -> set[int]:
    """Return the numbers of the columns that hold the buffers of an RNTuple's form.

    They are in the keys of the buffers, such as ``column-3-offsets``. That is undocumented, but
    nothing else leads from a field to its columns if the field is an alias of another. If it
    changes, pages are fetched one by one, which is slow but right, and a test in
    tests/reading/test_rntuple.py fails.
    """
    keys = form.expected_from_buffers(recursive=recursive)
    matches = (re.match(r"column-(\d+)-", key) for key in keys)
    return {int(match[1]) for match in matches if match}


def _leaf_paths(form: Any, path: str) -> Iterator[str]:
    """Yield the keys that Uproot gives to the leaves of a field."""
    if form.is_record and form.fields:
        for name in form.fields:
            yield from _leaf_paths(form.content(name), f"{path}.{name}")
    elif (form.is_list or form.is_option or form.is_indexed) and not _is_string(form):
        yield from _leaf_paths(form.content, path)
    else:
        yield path


def _is_list(form: Any) -> bool:
    return form.is_list and not form.is_regular


def _is_string(form: Any) -> bool:
    return form.parameter("__array__") in ("string", "bytestring")


def _is_any_of(fields: Iterable[Any]) -> Callable[[Any], bool]:
    # By identity: a field is a mapping of its own fields, so that all without fields are equal.
    by_identity = {id(field): field for field in fields}
    return lambda field: id(field) in by_identity
