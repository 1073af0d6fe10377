"""The table of a Parquet file, read by pyarrow."""

from __future__ import annotations

from typing import Self, cast

import awkward as ak
import pyarrow as pa
import pyarrow.parquet as pq
from awkward.forms import Form, RecordForm

from servicex_layer.errors import CorruptResultError
from servicex_layer.reading._columns import missing_column_error, select_columns
from servicex_layer.transport import ByteFile, ByteSource, Range

__all__ = ["ParquetTable"]

_ITEMS = ("list.item", "list.element")

# With `pre_buffer`, pyarrow reads over gaps of up to this many bytes between column chunks: the
# default of its `CacheOptions`, which `ParquetFile` does not take. If that grows, gaps are fetched
# by themselves, and a test in tests/reading/test_parquet.py fails.
_LARGEST_GAP = 8192


class ParquetTable:
    """The table of a Parquet file.

    Parameters
    ----------
    body : ByteSource
        The bytes of the file.
    file : str
        Names the file in errors.

    Raises
    ------
    CorruptResultError
        If pyarrow cannot read the file. `read` raises it too.
    SchemaMismatchError
        By `read`, if the table lacks a column.
    """

    entries: int
    nested = True

    def __init__(self, body: ByteSource, file: str) -> None:
        self._name = file
        self._body = body
        try:
            self._file = pq.ParquetFile(pa.PythonFile(ByteFile(body), mode="r"), pre_buffer=True)
        except (pa.ArrowException, OSError) as error:
            raise self._corrupt(error) from error
        self.entries = self._file.metadata.num_rows

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def form(self) -> RecordForm:
        """Return the form of all columns, without reading one."""
        return cast(RecordForm, ak.from_arrow_schema(self._file.schema_arrow))

    def read(
        self, form: RecordForm, offsets_only: frozenset[str] = frozenset()
    ) -> dict[str, ak.contents.Content]:
        """Read the columns of a form; of records only the fields in the form."""
        del offsets_only  # Parquet stores the lengths of lists with the items.
        if not form.fields:
            return {}
        columns = self._file.schema_arrow.names
        for name in form.fields:
            if name not in columns:
                raise missing_column_error(name, self._name, columns)
        file_form = select_columns(self.form(), frozenset(form.columns()))
        paths = self._leaf_paths(file_form)
        try:
            self._body.fetch(_bridge_gaps(self._ranges(set(paths))))
            table = self._file.read(columns=paths, use_threads=False)
        except (pa.ArrowException, OSError) as error:
            raise self._corrupt(error) from error
        record = _trim(ak.from_arrow(table, highlevel=False), file_form)
        return {name: record.content(name) for name in form.fields}

    def _leaf_paths(self, form: RecordForm) -> list[str]:
        """Return the file's own names for the leaves of a form."""
        schema, arrow_schema = self._file.schema, self._file.schema_arrow
        leaves = [schema.column(index).path for index in range(len(schema))]
        # In the path of a leaf, the name between a list and its items depends on the writer.
        used = (item for item in _ITEMS if any(f".{item}" in leaf for leaf in leaves))
        paths = form.columns(list_indicator=next(used, _ITEMS[0]))
        # pyarrow reads columns of an extension type, such as Awkward writes, only whole.
        paths += [name for name in form.fields if _is_extension(arrow_schema.field(name).type)]
        return [
            leaf
            for leaf in leaves
            if any(leaf == path or leaf.startswith(f"{path}.") for path in paths)
        ]

    def _ranges(self, paths: set[str]) -> list[Range]:
        metadata = self._file.metadata
        ranges = []
        for group in range(metadata.num_row_groups):
            for index in range(metadata.num_columns):
                column = metadata.row_group(group).column(index)
                if column.path_in_schema in paths:
                    start = column.data_page_offset
                    if column.has_dictionary_page:
                        start = min(start, column.dictionary_page_offset)
                    ranges.append((start, start + column.total_compressed_size))
        return ranges

    def _corrupt(self, error: Exception) -> CorruptResultError:
        message = (str(error).strip() or type(error).__name__).splitlines()[0]
        return CorruptResultError(f"{self._name} cannot be read as a Parquet file: {message}")


def _bridge_gaps(ranges: list[Range]) -> list[Range]:
    bridged: list[Range] = []
    for start, stop in sorted(ranges):
        if bridged and start - bridged[-1][1] <= _LARGEST_GAP:
            bridged[-1] = (bridged[-1][0], stop)
        else:
            bridged.append((start, stop))
    return bridged


def _trim(array: ak.contents.Content, form: Form) -> ak.contents.Content:
    """Drop the fields and the options that are not in a form.

    If pyarrow reads only some fields of the records in a list, it says that the records may be null
    even if the file's schema says that they are not.
    """
    if array.is_option and not form.is_option:
        array = array.project()
    if array.is_record:
        contents = [_trim(array.content(name), form.content(name)) for name in form.fields]
        return array.copy(contents=contents, fields=form.fields)
    if array.is_list or array.is_option:
        return array.copy(content=_trim(array.content, form.content))
    return array


def _is_extension(kind: pa.DataType) -> bool:
    children = (kind.field(index).type for index in range(kind.num_fields))
    return isinstance(kind, pa.BaseExtensionType) or any(map(_is_extension, children))
