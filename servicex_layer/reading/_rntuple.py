"""The columns of an RNTuple: fields, by Uproot."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Any

import awkward as ak
import numpy as np
from awkward.forms import RecordForm

from servicex_layer.reading._columns import missing_column_error
from servicex_layer.transport import Range

__all__ = ["Fields"]


class Fields:
    """The fields at the top, and those within their records.

    Parameters
    ----------
    ntuple : uproot.models.RNTuple
        Of which RNTuple.
    where : str
        The file, for errors.

    Raises
    ------
    SchemaMismatchError
        By all methods that are given the name of a column that is not there.
    """

    nested = True

    def __init__(self, ntuple: Any, where: str) -> None:
        self._ntuple = ntuple
        self._where = where

    def form(self) -> RecordForm:
        """Tell what the columns are, without reading one."""
        form, _ = self._ntuple.to_akform()
        return form

    def title(self, name: str | None = None) -> str:
        """Tell the description of a column, or of the RNTuple."""
        described: str = (self._ntuple if name is None else self._field(name)).description
        return described

    def typename(self, name: str) -> str:
        """Tell the C++ type of a column."""
        typename: str = self._field(name).typename
        return typename

    def ranges(self, form: RecordForm) -> Iterator[Range]:
        """Tell where the values of columns are: Uproot asks for one page after the other."""
        if form.fields:
            known, _ = self._ntuple.to_akform(filter_field=self._leaves(form))
            yield from self._pages(known.to_json())

    def read(self, form: RecordForm) -> dict[str, ak.contents.Content]:
        """Read columns; of their records only the fields that are in the form."""
        if not form.fields:
            return {}
        arrays = self._ntuple.arrays(filter_field=self._leaves(form))
        return {name: arrays[name].layout for name in form.fields}

    def counters(self, names: frozenset[str]) -> dict[str, Any]:
        """Find what holds the lengths of lists, for those for which something does."""
        fields = {name: self._field(name) for name in names}
        return {name: field for name, field in fields.items() if _is_list(self._form(field))}

    def ranges_of_lengths(self, counter: Any) -> Iterator[Range]:
        """Tell where the lengths of the lists of a field are."""
        yield from self._pages(f'"{self._form(counter).form_key}"')

    def lengths(self, counter: Any) -> Any:
        """Read the lengths of the lists of a field."""
        lists = self._ntuple.arrays(filter_field=_one_of([counter]), virtual=True)
        return np.diff(lists[lists.fields[0]].layout.offsets.data.materialize())

    @cached_property
    def _keys(self) -> dict[str, None]:
        return dict.fromkeys(self._ntuple.keys())

    def _field(self, path: str) -> Any:
        if path not in self._keys:
            raise missing_column_error(path, self._where, self._keys)
        return self._ntuple[path]

    def _form(self, field: Any) -> Any:
        form, _ = self._ntuple.to_akform(filter_field=_one_of([field]))
        return form.content(0)

    def _leaves(self, form: RecordForm) -> Callable[[Any], bool]:
        paths = (path for name in form.fields for path in _paths(form.content(name), name))
        return _one_of(map(self._field, paths))

    def _pages(self, keys: str) -> Iterator[Range]:
        records = self._ntuple.column_records
        # A column's number is in the key of its form; each cluster may hold another column of the
        # same field, with the same values.
        columns = {int(number) for number in re.findall(r'"column-(\d+)', keys)}
        fields = {records[column].field_id for column in columns}
        for links in self._ntuple.page_link_list:
            for record, column in zip(records, links, strict=False):
                if record.field_id in fields:
                    for page in column.pages:
                        start = page.locator.offset
                        yield start, start + page.locator.num_bytes


def _paths(form: Any, path: str) -> Iterator[str]:
    """List the keys that an RNTuple gives to the leaves of a field."""
    if form.is_record and form.fields:
        for name in form.fields:
            yield from _paths(form.content(name), f"{path}.{name}")
    elif (form.is_list or form.is_option or form.is_indexed) and not _is_string(form):
        yield from _paths(form.content, path)
    else:
        yield path


def _is_list(form: Any) -> bool:
    return form.is_list and not form.is_regular


def _is_string(form: Any) -> bool:
    return form.parameter("__array__") in ("string", "bytestring")


def _one_of(chosen: Iterable[Any]) -> Callable[[Any], bool]:
    # By identity: a field is a mapping of its fields, and equal to all that have none.
    identities = {id(one): one for one in chosen}
    return lambda one: id(one) in identities
