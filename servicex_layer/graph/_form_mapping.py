"""Other views of a result's columns, by Uproot's form mapping protocol; coffea's schemas use it.

A form mapping is called with the form of a tree. It returns the form that the user works with, and
an object that makes the buffers of that form from the tree's columns.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import awkward as ak
import numpy as np
from awkward.forms import Form, RecordForm
from awkward.typetracer import typetracer_from_form, typetracer_with_report

from servicex_layer._model import ResultFile
from servicex_layer.errors import InvalidArgumentError, ResultError, SchemaMismatchError
from servicex_layer.feed import RequestRef
from servicex_layer.graph._await_file import AwaitFile
from servicex_layer.graph._dask_awkward import form_structure, touched_buffers
from servicex_layer.graph._joined_tree import JoinedTree, TreePart
from servicex_layer.graph._late_read import read_late
from servicex_layer.graph._read_task import ReadTask
from servicex_layer.reading import (
    LateBuffer,
    LateBuffers,
    datashape_of,
    missing_column_error,
    open_result,
    open_table,
    pickle_unread_columns,
    select_columns,
    unread_array,
)
from servicex_layer.transport import ResultSource

if TYPE_CHECKING:
    from uproot import ImplementsFormMapping

    from servicex_layer.reading import RootTree

__all__ = [
    "ReadWithFormMapping",
    "described_form_of",
    "validate_form_mapping",
    "validate_mappable",
]


class ReadWithFormMapping(ReadTask):
    """Read columns of a finished file through a form mapping into one partition.

    Parameters
    ----------
    request, form, tree, behavior, await_file, report
        As in `ReadTask`; `behavior` is added to that of the mapping.
    form_mapping : uproot.ImplementsFormMapping
        Called with the form.

    Raises
    ------
    InvalidArgumentError
        If `form_mapping` is not a form mapping.
    """

    columns: frozenset[str]

    def __init__(
        self,
        request: RequestRef,
        form: RecordForm,
        tree: str | None,
        form_mapping: ImplementsFormMapping,
        *,
        behavior: Mapping[Any, Any] | None = None,
        await_file: AwaitFile | None = None,
        report: bool = False,
    ) -> None:
        validate_form_mapping(form_mapping)
        self.expected_form, self.info = form_mapping(_described(form))
        super().__init__(
            request,
            form,
            tree,
            columns=frozenset(form.fields),
            behavior=_merged(self.info.behavior, behavior),
            await_file=await_file,
            report=report,
        )

    def read(self, source: ResultSource) -> ak.contents.Content:
        """Read a file through the mapping; see `ReadTask.read`."""
        validate_mappable(source.file.format)
        opened = open_result(source, self.tree)
        if opened is None:
            return self.empty()
        with opened as table:
            root_tree: Any = table
            self._check_types(root_tree, source.description)
            buffers = self._buffers(root_tree, source)
            pickle_unread_columns()
            return unread_array(
                self.expected_form, table.entries, buffers, buffer_key=self.info.buffer_key
            )

    def read_part(self, source: ResultSource) -> TreePart | None:
        """Read the columns of one of several files, before the mapping sees them."""
        return self.read_columns(self.columns, source, check_types=True)

    def join(
        self, parts: Sequence[TreePart | None], files: tuple[ResultFile, ...]
    ) -> ak.contents.Content:
        """Call the mapping with the columns of all files."""
        trees = [part for part in parts if part is not None]
        if not trees:
            return self.empty()
        tree = JoinedTree(trees)
        loaded = self._load_buffers(tree, self.columns, tree.num_entries, self._name_of(files))
        buffers = self._with_unread(loaded, self._unread_buffers(), files)
        pickle_unread_columns()
        return unread_array(
            self.expected_form, tree.num_entries, buffers, buffer_key=self.info.buffer_key
        )

    def empty(self) -> ak.contents.Content:
        """Return the mapped columns of a file without events."""
        return self.expected_form.length_zero_array(highlevel=False)

    # dask-awkward's protocol for functions of input layers that can be projected.

    def mock(self) -> ak.Array:
        """Return the array without its data."""
        return typetracer_from_form(self.expected_form, behavior=self.behavior)

    def mock_empty(self, backend: str = "cpu") -> ak.Array:
        """Return the array without events."""
        return ak.to_backend(ak.Array(self.empty(), behavior=self.behavior), backend)

    def prepare_for_projection(self) -> tuple[ak.Array, Any, Any]:
        """Return an array without data, the report of its touched buffers, and its structure."""
        buffer_key = self.info.buffer_key
        meta, report = typetracer_with_report(
            self.expected_form, highlevel=True, behavior=self.behavior, buffer_key=buffer_key
        )
        return meta, report, form_structure(self.expected_form, buffer_key)

    def necessary_columns(self, report: Any, state: Any) -> frozenset[str]:
        """Return the columns of the tree that the touched buffers are made from."""
        buffer_keys = touched_buffers(report, state, self.info.parse_buffer_key)
        return self.columns.intersection(self.info.keys_for_buffer_keys(buffer_keys))

    def project(self, report: Any, state: Any) -> Self:
        """Return a copy that reads only what a traced computation touched."""
        return self.project_manually(self.necessary_columns(report, state))

    def project_manually(self, columns: frozenset[str]) -> Self:
        """Return a copy that reads only these columns."""
        projected = self.project_columns(columns)
        # From here on the form only serves validation, and it is pickled with every task.
        projected.form = select_columns(self.form, columns).copy(parameters=None)
        return projected

    def read_columns(
        self, columns: frozenset[str], source: ResultSource, *, check_types: bool = False
    ) -> TreePart | None:
        """Read columns of the tree of a file; return ``None`` if it has no tree."""
        validate_mappable(source.file.format)
        opened = open_result(source, self.tree)
        if opened is None:
            return None
        with opened as table:
            root_tree: Any = table
            if check_types:
                self._check_types(root_tree, source.description)
            read = table.read(select_columns(table.form(), columns))
            return TreePart(root_tree.tree, table.entries, read)

    def load_buffer(self, key: str, source: ResultSource) -> np.ndarray:
        """Return a buffer of a file."""
        with open_table(source, self.tree) as table:
            root_tree: Any = table
            loaded = self.load(root_tree, self.columns_of(key), source.description)
            return self._checked_buffer(key, loaded, source.description)

    def joined_buffer(
        self, key: str, parts: Sequence[TreePart | None], files: Sequence[ResultFile]
    ) -> np.ndarray:
        """Return a buffer of several files, of which the columns that it needs were read."""
        name = self._name_of(files)
        tree = JoinedTree([part for part in parts if part is not None])
        loaded = self._load_buffers(tree, self.columns_of(key), tree.num_entries, name)
        return self._checked_buffer(key, loaded, name)

    def _checked_buffer(self, key: str, loaded: Mapping[str, Any], file: str) -> np.ndarray:
        buffer = np.asarray(loaded[key])
        expected = self._expected_buffers()[key]
        if buffer.dtype != expected:
            raise SchemaMismatchError(
                f"{file} has values of {buffer.dtype}, but the form says {expected}. With a form "
                "mapping they must be the same."
            )
        return buffer

    def _name_of(self, files: Sequence[ResultFile]) -> str:
        names = ", ".join(repr(file.name) for file in files)
        return f"Results {names} of request {self.request.request_id}"

    def _check_types(self, table: RootTree, file: str) -> None:
        """Raise if a column has other types than the form: mappings don't convert bytes."""
        actual = table.form()
        for name in sorted(self.columns):
            expected_column = self.form.content(name)
            if name not in actual.fields:
                raise missing_column_error(name, file, actual.fields)
            column = actual.content(name)
            if _types_and_dtypes(column) != _types_and_dtypes(expected_column):
                raise SchemaMismatchError(
                    f"The column {name!r} of {file} is {datashape_of(column)}, but the form says "
                    f"{datashape_of(expected_column)}. With a form mapping they must be the same."
                )

    def columns_of(self, key: str) -> frozenset[str]:
        """Return the columns of the tree that a buffer is made from."""
        columns: frozenset[str] = self.info.keys_for_buffer_keys(frozenset({key}))
        return columns

    def load(self, table: RootTree, columns: frozenset[str], file: str) -> Mapping[str, Any]:
        """Return the buffers that the mapping makes from columns of an open file.

        Raises
        ------
        ResultError
            If the file or the mapping fails.
        """
        table.fetch(select_columns(table.form(), columns))
        return self._load_buffers(table.tree, columns, table.entries, file)

    def _load_buffers(
        self, tree: Any, columns: frozenset[str], entries: int, file: str
    ) -> Mapping[str, Any]:
        try:
            loaded: Mapping[str, Any] = self.info.load_buffers(tree, columns, *_whole(entries))
        except ResultError:
            raise
        except Exception as error:
            raise ResultError(
                f"{file} can't be read by the form mapping {type(self.info).__name__}: "
                f"{type(error).__name__}: {error}"
            ) from error
        return loaded

    def _buffers(self, table: RootTree, source: ResultSource) -> dict[str, Any]:
        """Return buffers that were read, and what reads the others when they are touched."""
        loaded = self.load(table, self.columns, source.description)
        replace = getattr(self.info, "buffer_replacements", None)
        unread = self._unread_buffers()
        if not unread or replace is None:
            return self._with_unread(loaded, unread, (source.file,))
        needed = frozenset().union(*unread.values())
        replaced = replace(table.tree, needed, *_whole(table.entries))
        return {
            key: replaced[key] if key in unread else loaded[key] for key in self._expected_buffers()
        }

    def _with_unread(
        self,
        loaded: Mapping[str, Any],
        unread: Mapping[str, frozenset[str]],
        files: tuple[ResultFile, ...],
    ) -> dict[str, Any]:
        """Return loaded buffers, and what reads the others of files when they are touched."""
        late = LateBuffers(_LoadMapped(files, self._without_wait()))
        return {
            key: LateBuffer(late, key) if key in unread else loaded[key]
            for key in self._expected_buffers()
        }

    def _unread_buffers(self) -> dict[str, frozenset[str]]:
        """Return the buffers that are not made from the columns alone, with all they need."""
        columns = {key: self.columns_of(key) for key in self._expected_buffers()}
        return {key: needed for key, needed in columns.items() if not needed <= self.columns}

    def _expected_buffers(self) -> dict[str, Any]:
        """Return the types of all buffers, by their keys."""
        expected: dict[str, Any] = self.expected_form.expected_from_buffers(
            buffer_key=self.info.buffer_key
        )
        return expected

    def _without_wait(self) -> ReadWithFormMapping:
        reader = copy.copy(self)
        reader.await_file = None
        return reader


@dataclass(frozen=True)
class _LoadMapped:
    """Opens the files of a partition again, and reads the columns that one buffer is made from.

    Parameters
    ----------
    files : tuple of ResultFile
        The files.
    reader : ReadWithFormMapping
        Has read them before.
    """

    files: tuple[ResultFile, ...]
    reader: ReadWithFormMapping

    def __call__(self, key: str) -> dict[str, Any]:
        """Return a buffer by its key; raises what `LoadColumn` raises."""
        reader, files = self.reader, self.files
        columns = reader.columns_of(key)
        column = ", ".join(sorted(columns))
        if len(files) == 1:
            load = partial(reader.load_buffer, key)
            (buffer,) = read_late(load, files, reader.request, column)
        else:
            read = partial(reader.read_columns, columns)
            parts = read_late(read, files, reader.request, column)
            buffer = reader.joined_buffer(key, parts, files)
        return {key: buffer}


def _whole(entries: int) -> tuple[Any, ...]:
    """Return the arguments that tell a mapping to read all of a tree."""
    return 0, entries, None, None, {"ak_add_doc": False}


def validate_form_mapping(form_mapping: object) -> None:
    """Raise if an object can't be a form mapping.

    Raises
    ------
    InvalidArgumentError
        If it is not callable, or is a class, such as a schema of coffea.
    """
    if isinstance(form_mapping, type):
        name = form_mapping.__name__
        raise InvalidArgumentError(
            f"form_mapping={name} is a class, not a form mapping. For a schema of coffea use "
            f"servicex_layer.nanoevents(request_id, {name})."
        )
    if not callable(form_mapping):
        raise InvalidArgumentError(
            f"form_mapping={form_mapping!r} must be callable with the form of a tree."
        )


def validate_mappable(result_format: str) -> None:
    """Raise if a form mapping can't read results of a format.

    Raises
    ------
    InvalidArgumentError
        If the results are not ROOT files.
    """
    if result_format == "parquet":
        raise InvalidArgumentError(
            "form_mapping is for ROOT files, as is nanoevents, and the results of this request are "
            "Parquet. Ask ServiceX for root-file or root-rntuple, or use map_files, whose schemas "
            "read Parquet, too."
        )


def described_form_of(source: ResultSource, tree: str | None) -> RecordForm:
    """Return the form of a result with the titles and C++ types that mappings need.

    Parameters and errors are those of `servicex_layer.reading.read_form`.
    """
    validate_mappable(source.file.format)
    with open_table(source, tree) as table:
        root_tree: Any = table
        described: RecordForm = root_tree.annotated_form()
        return described


def _described(form: RecordForm) -> RecordForm:
    """Add a title and a type to each column that has none: mappings look for them."""
    contents = [
        form.content(name).copy(
            parameters={
                "__doc__": name,
                "typename": datashape_of(form.content(name)),
                **form.content(name).parameters,
            }
        )
        for name in form.fields
    ]
    return form.copy(contents=contents, parameters={"__doc__": "", **form.parameters})


def _merged(
    first: Mapping[Any, Any] | None, second: Mapping[Any, Any] | None
) -> Mapping[Any, Any] | None:
    return {**first, **second} if first and second else first or second


def _types_and_dtypes(form: Form) -> tuple[str, list[np.dtype[Any]]]:
    return datashape_of(form), list(form.expected_from_buffers().values())
