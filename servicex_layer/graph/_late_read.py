"""Reading columns that a computation touches and that its projection missed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from awkward.forms import RecordForm

from servicex_layer._model import ResultFile
from servicex_layer.errors import ResultError, ServiceXLayerError
from servicex_layer.feed import RequestRef
from servicex_layer.graph._result_source import result_source
from servicex_layer.reading import buffers_of, column_of_buffer, read
from servicex_layer.transport import ResultSource

__all__ = ["LoadColumn", "late_source"]


@dataclass(frozen=True)
class LoadColumn:
    """Opens a file again, and reads one column.

    Parameters
    ----------
    file : ResultFile
        The file.
    request : RequestRef
        Its request.
    tree : str or None
        Name of the tree; ``None`` for the only tree of the file.
    form : awkward.forms.RecordForm
        The form of all columns, with the keys of their buffers.
    """

    file: ResultFile
    request: RequestRef
    tree: str | None
    form: RecordForm

    def __call__(self, key: str) -> dict[str, Any]:
        """Return the buffers of the column that has a buffer.

        Raises
        ------
        ResultError
            If the file can't be read any more.
        """
        _, column = column_of_buffer(self.form, key)
        with late_source(self.file, self.request, column) as source:
            array = read(source, self.form, frozenset([column]), self.tree)
        return buffers_of(array, self.form)


@contextmanager
def late_source(file: ResultFile, request: RequestRef, column: str) -> Iterator[ResultSource]:
    """Yield what is needed to read a column of a file; any error names the column and the file."""
    try:
        yield result_source(file, request)
    except ServiceXLayerError as error:
        kind = type(error) if isinstance(error, ResultError) else ResultError
        raise kind(
            f"The column {column!r} of result {file.name!r} of request {request.request_id} was "
            f"first touched after its file had been read, and reading it failed: {error}"
        ) from error
