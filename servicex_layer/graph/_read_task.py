"""The task of an `UprootLoadLayer`: read columns of one file."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from typing import Any, Self

import awkward as ak
from awkward.forms import RecordForm
from awkward.typetracer import typetracer_from_form

from servicex_layer._model import NoFile, ResultFile
from servicex_layer.feed import RequestRef, record_read
from servicex_layer.graph._await_file import AwaitFile
from servicex_layer.graph._input_layer import ColumnProjectionMixin
from servicex_layer.graph._late_read import LoadColumn
from servicex_layer.graph._projection import offsets_only_columns
from servicex_layer.graph._record import record
from servicex_layer.graph._result_source import result_source
from servicex_layer.reading import LateBuffers, fill_unread, form_of_buffers, read
from servicex_layer.transport import ResultSource, TransferStats

__all__ = ["ReadFile", "ReadTask"]


class ReadTask:
    """Locate and open the file of one partition, and read it.

    Parameters
    ----------
    request : RequestRef
        The request.
    form : awkward.forms.RecordForm
        The form of the file's columns.
    tree : str or None
        Name of the tree; ``None`` for the only tree of the file.
    columns : frozenset of str, optional
        The columns to read. Defaults to all of the form.
    behavior : mapping, optional
        The array's behavior.
    await_file : AwaitFile, optional
        Waits for the file first; the task then gets a number in place of a file.
    report : bool
        Whether to return a pair of the partition and a `record` of what happened to it.
    """

    # Lists of which only the lengths are read.
    offsets_only: frozenset[str] = frozenset()

    def __init__(
        self,
        request: RequestRef,
        form: RecordForm,
        tree: str | None,
        *,
        columns: frozenset[str] | None = None,
        behavior: Mapping[Any, Any] | None = None,
        await_file: AwaitFile | None = None,
        report: bool = False,
    ) -> None:
        self.request = request
        self.form = form
        self.tree = tree
        self.columns = columns
        self.behavior = behavior
        self.await_file = await_file
        self.report = report

    def __call__(
        self, file_or_number: ResultFile | NoFile | int, after: object = None
    ) -> ak.Array | tuple[ak.Array, ak.Array]:
        """Read the file. A partition without a file has no events.

        Parameters
        ----------
        file_or_number : ResultFile, NoFile or int
            The file, or its number if this waits for it.
        after : object
            The result of the task that this one is bound to; ignored.

        Raises
        ------
        ResultError
            If the file can't be read, or does not match the form.
        """
        del after
        file: Any = file_or_number
        if self.await_file is not None:
            file = self.await_file(file)
        transfer = TransferStats()
        started = time.perf_counter()
        if isinstance(file, ResultFile):
            layout = self.read(result_source(file, self.request, transfer))
        else:
            layout = self.empty()
        record_read(self.request, file.number, transfer.received)
        array = ak.Array(layout, behavior=self.behavior)
        if not self.report:
            return array
        return array, record(file, transfer, time.perf_counter() - started)

    def project_columns(self, columns: frozenset[str]) -> Self:
        """Return a copy that reads only these columns."""
        projected = copy.copy(self)
        projected.columns = columns
        return projected

    def project_manually(self, columns: frozenset[str]) -> Self:
        """Return a copy that reads only these columns, as `dask_awkward.manual` asks for it."""
        return self.project_columns(columns)

    def read(self, source: ResultSource) -> ak.contents.Content:
        """Read the columns; raises what `servicex_layer.reading.read` raises."""
        raise NotImplementedError

    def empty(self) -> ak.contents.Content:
        """Return the columns of a file without events."""
        raise NotImplementedError


class ReadFile(ReadTask, ColumnProjectionMixin):
    """Read columns of a finished file into one partition.

    Columns have the names of the form's fields; a field within a record is ``record.field``.
    """

    use_optimization = True
    attrs = None

    def mock(self) -> ak.Array:
        """Return the array without its data."""
        return typetracer_from_form(self.form, behavior=self.behavior)

    def project(self, report: Any, state: Any) -> Self:
        """Return a copy that reads only what a traced computation touched."""
        reader: Any = self
        projected: Self = self.project_columns(reader.necessary_columns(report, state))
        projected.offsets_only = offsets_only_columns(report, state)
        return projected

    def read(self, source: ResultSource) -> ak.contents.Content:
        """Read the columns of a file; see `ReadTask.read`."""
        array = read(source, self.form, self.columns, self.tree, self.offsets_only)
        form = form_of_buffers(self.form)
        load = LoadColumn(source.file, self.request, self.tree, form)
        return fill_unread(array, form, LateBuffers(load), self.offsets_only)

    def empty(self) -> ak.contents.Content:
        """Return the columns of a file without events."""
        return self.form.length_zero_array(highlevel=False)
