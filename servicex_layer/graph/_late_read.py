"""Reading columns that a computation touches and that its projection missed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from awkward.forms import RecordForm

from servicex_layer._model import ResultFile
from servicex_layer.errors import ResultError, ServiceXLayerError
from servicex_layer.feed import RequestRef
from servicex_layer.graph._file_group import join_columns, read_at_once
from servicex_layer.graph._result_source import result_source
from servicex_layer.reading import buffers_of, column_of_buffer, read
from servicex_layer.transport import ResultSource

__all__ = ["LoadColumn", "read_late"]

T = TypeVar("T")


@dataclass(frozen=True)
class LoadColumn:
    """Opens the files of a partition again, and reads one column.

    Parameters
    ----------
    files : tuple of ResultFile
        The files.
    request : RequestRef
        Their request.
    tree : str or None
        Name of the tree; ``None`` for the only tree of each file.
    form : awkward.forms.RecordForm
        The form of all columns, with the keys of their buffers.
    """

    files: tuple[ResultFile, ...]
    request: RequestRef
    tree: str | None
    form: RecordForm

    def __call__(self, key: str) -> dict[str, Any]:
        """Return the buffers of the column that has a buffer.

        Raises
        ------
        ResultError
            If a file can't be read any more.
        """
        _, column = column_of_buffer(self.form, key)

        def read_column(source: ResultSource) -> Any:
            return read(source, self.form, frozenset([column]), self.tree)

        arrays = read_late(read_column, self.files, self.request, column)
        return buffers_of(join_columns(arrays, self.form), self.form)


def read_late(
    read: Callable[[ResultSource], T],
    files: tuple[ResultFile, ...],
    request: RequestRef,
    column: str,
) -> list[T]:
    """Call a function with what is needed to read a column of each file.

    An error names the column and the file.
    """

    def read_one(source: ResultSource) -> T:
        with _naming_column(source.file, request, column):
            return read(source)

    sources = []
    for file in files:
        with _naming_column(file, request, column):
            sources.append(result_source(file, request))
    return list(read_at_once(read_one, sources))


@contextmanager
def _naming_column(file: ResultFile, request: RequestRef, column: str) -> Iterator[None]:
    try:
        yield
    except ServiceXLayerError as error:
        kind = type(error) if isinstance(error, ResultError) else ResultError
        raise kind(
            f"The column {column!r} of result {file.name!r} of request {request.request_id} was "
            f"first touched after its file had been read, and reading it failed: {error}"
        ) from error
