"""The task of an `UprootLoadLayer`: read columns of one file, or of several."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import awkward as ak
from awkward.forms import RecordForm
from awkward.typetracer import typetracer_from_form

from servicex_layer._model import FileGroup, NoFile, ResultFile
from servicex_layer.feed import RequestRef, record_read
from servicex_layer.graph._await_file import AwaitFile
from servicex_layer.graph._file_group import join_columns, read_at_once
from servicex_layer.graph._input_layer import ColumnProjectionMixin
from servicex_layer.graph._late_read import LoadColumn
from servicex_layer.graph._projection import offsets_only_columns
from servicex_layer.graph._record import record
from servicex_layer.graph._result_source import result_source
from servicex_layer.reading import LateBuffers, fill_unread, form_of_buffers, read
from servicex_layer.transport import ResultSource, TransferStats

__all__ = ["ReadFile", "ReadTask"]


class ReadTask:
    """Locate and open the file or the files of one partition, and read them.

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
        Whether to return a pair of the partition and a `record` of what happened to each file.
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
        self, file_or_number: ResultFile | NoFile | FileGroup | int, after: object = None
    ) -> ak.Array | tuple[ak.Array, ak.Array]:
        """Read the file, or the files. A partition without a file has no events.

        Parameters
        ----------
        file_or_number : ResultFile, NoFile, FileGroup or int
            The file or files, or the number of the partition if this waits for them.
        after : object
            The result of the task that this one is bound to; ignored.

        Raises
        ------
        ResultError
            If a file can't be read, or does not match the form.
        """
        del after
        file: Any = file_or_number
        if self.await_file is not None:
            file = self.await_file(file)
        if isinstance(file, FileGroup):
            return self._read_group(file)
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

    def _read_group(self, group: FileGroup) -> ak.Array | tuple[ak.Array, ak.Array]:
        files = [file for file in group.files if isinstance(file, ResultFile)]
        # Made here: Dask does not know the threads that read as a worker's.
        sources = [result_source(file, self.request) for file in files]
        reads = read_at_once(self._read_part, sources)
        parts, records = [], []
        for file in group.files:
            if isinstance(file, ResultFile):
                read = next(reads)
                parts.append(read.part)
            else:
                read = _Read(None, TransferStats(), 0.0, time.time())
            record_read(self.request, file.number, read.transfer.received)
            if self.report:
                records.append(
                    record(
                        file,
                        read.transfer,
                        read.seconds,
                        partition=group.partition,
                        read_at=read.read_at,
                    )
                )
        layout = self.join(parts, tuple(files)) if parts else self.empty()
        array = ak.Array(layout, behavior=self.behavior)
        return (array, ak.concatenate(records)) if self.report else array

    def _read_part(self, source: ResultSource) -> _Read:
        started = time.perf_counter()
        part = self.read_part(source)
        return _Read(part, source.transfer, time.perf_counter() - started, time.time())

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

    def read_part(self, source: ResultSource) -> Any:
        """Read the columns of one of several files, for `join`; from any thread."""
        raise NotImplementedError

    def join(self, parts: Sequence[Any], files: tuple[ResultFile, ...]) -> ak.contents.Content:
        """Join what was read of files."""
        raise NotImplementedError

    def empty(self) -> ak.contents.Content:
        """Return the columns of a file without events."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class _Read:
    """What was read of a file, and what it cost."""

    part: Any
    transfer: TransferStats
    seconds: float
    read_at: float


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
        return self.join([self.read_part(source)], (source.file,))

    def read_part(self, source: ResultSource) -> ak.contents.RecordArray:
        """Read the columns of a file, without those that are read late."""
        return read(source, self.form, self.columns, self.tree, self.offsets_only)

    def join(
        self, parts: Sequence[ak.contents.RecordArray], files: tuple[ResultFile, ...]
    ) -> ak.contents.Content:
        """Join the columns of files, and add those that are read late."""
        array = join_columns(parts, self.form, self.offsets_only)
        form = form_of_buffers(self.form)
        load = LoadColumn(files, self.request, self.tree, form)
        return fill_unread(array, form, LateBuffers(load), self.offsets_only)

    def empty(self) -> ak.contents.Content:
        """Return the columns of a file without events."""
        return self.form.length_zero_array(highlevel=False)
