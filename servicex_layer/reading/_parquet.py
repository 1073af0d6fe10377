"""The table of a Parquet file, by pyarrow."""

from __future__ import annotations

import io
from typing import Self, cast

import awkward as ak
import pyarrow as pa
import pyarrow.parquet as pq
from awkward.forms import Form, RecordForm

from servicex_layer.errors import CorruptResultError
from servicex_layer.reading._columns import missing_column_error, select_columns
from servicex_layer.transport import ByteSource

__all__ = ["ParquetTable"]


class ParquetTable:
    """The table of a Parquet file whose bytes are somewhere.

    Parameters
    ----------
    body : ByteSource
        The bytes.
    what : str
        Which file, for errors.

    Raises
    ------
    CorruptResultError, SchemaMismatchError
        As their names say; the last two methods too.
    """

    entries: int
    nested = True

    def __init__(self, body: ByteSource, what: str) -> None:
        self._what = what
        self._body = body
        try:
            self._table = pq.ParquetFile(pa.PythonFile(_BodyFile(body), mode="r"))
        except (pa.ArrowException, OSError) as error:
            raise self._corrupt(error) from error
        self.entries = self._table.metadata.num_rows

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._table.close()

    def form(self) -> RecordForm:
        """Tell what the columns are, without reading one."""
        return cast(RecordForm, ak.from_arrow_schema(self._table.schema_arrow))

    def read(
        self, form: RecordForm, offsets_only: frozenset[str] = frozenset()
    ) -> dict[str, ak.contents.Content]:
        """Read the columns of a form, of records only the fields that it has."""
        del offsets_only  # the lengths of lists are stored with what is in them
        if not form.fields:
            return {}
        there = self._table.schema_arrow.names
        for name in form.fields:
            if name not in there:
                raise missing_column_error(name, self._what, there)
        told = select_columns(self.form(), frozenset(form.columns()))
        paths = self._paths(told)
        try:
            self._body.fetch(self._ranges(set(paths)))
            table = self._table.read(columns=paths, use_threads=False)
        except (pa.ArrowException, OSError) as error:
            raise self._corrupt(error) from error
        record = _as_told(ak.from_arrow(table, highlevel=False), told)
        return {name: record.content(name) for name in form.fields}

    def _paths(self, form: RecordForm) -> list[str]:
        """List the file's own names of the leaves of a form."""
        leaves = [self._table.schema.column(i).path for i in range(len(self._table.schema))]
        # Between a list and what is in it, a path has names that writers choose.
        item = next((f"list.{it}" for it in ("item", "element") if _has(leaves, it)), "list.item")
        wanted = form.columns(list_indicator=item)
        # pyarrow reads no part of a column of an extension type, such as Awkward writes.
        schema = self._table.schema_arrow
        wanted += [name for name in form.fields if _is_extension(schema.field(name).type)]
        return [
            leaf
            for leaf in leaves
            if any(leaf == path or leaf.startswith(f"{path}.") for path in wanted)
        ]

    def _ranges(self, paths: set[str]) -> list[tuple[int, int]]:
        metadata = self._table.metadata
        ranges = []
        for group in range(metadata.num_row_groups):
            for i in range(metadata.num_columns):
                column = metadata.row_group(group).column(i)
                if column.path_in_schema in paths:
                    start = column.data_page_offset
                    if column.has_dictionary_page:
                        start = min(start, column.dictionary_page_offset)
                    ranges.append((start, start + column.total_compressed_size))
        return ranges

    def _corrupt(self, error: Exception) -> CorruptResultError:
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        return CorruptResultError(f"{self._what} cannot be read as a Parquet file: {said}")


def _as_told(array: ak.contents.Content, form: Form) -> ak.contents.Content:
    """Take off fields that are not wanted, and options that the file does not have.

    Where pyarrow reads some fields of the records in a list, it tells that the records may be
    null although it knows better.
    """
    if array.is_option and not form.is_option:
        array = array.project()
    if array.is_record:
        contents = [_as_told(array.content(name), form.content(name)) for name in form.fields]
        return array.copy(contents=contents, fields=form.fields)
    if array.is_list or array.is_option:
        return array.copy(content=_as_told(array.content, form.content))
    return array


def _is_extension(kind: pa.DataType) -> bool:
    inner = (kind.field(i).type for i in range(kind.num_fields))
    return isinstance(kind, pa.BaseExtensionType) or any(map(_is_extension, inner))


def _has(leaves: list[str], item: str) -> bool:
    return any(f".list.{item}" in leaf for leaf in leaves)


class _BodyFile(io.RawIOBase):
    """A file for pyarrow."""

    def __init__(self, body: ByteSource) -> None:
        super().__init__()
        self._body = body
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._body.size}[whence]
        self._at = base + offset
        return self._at

    def read(self, size: int = -1) -> memoryview:
        # A view for bytes, which pyarrow takes as well: what was fetched is not copied.
        start = self._at
        stop = self._body.size if size < 0 else min(start + size, self._body.size)
        self._at = max(start, stop)
        return self._body.read(start, self._at)
