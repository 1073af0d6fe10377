"""What the tasks of an `UprootLoadLayer` do: read columns of a file."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from functools import partial
from typing import Any, Self

import awkward as ak
from awkward.forms import RecordForm
from dask_awkward.lib.io.columnar import ColumnProjectionMixin

from servicex_layer._model import Location, ResultFile
from servicex_layer.feed import feed, record_read
from servicex_layer.graph._await_file import AwaitFile
from servicex_layer.graph._projection import offsets_only_columns
from servicex_layer.graph._record import record
from servicex_layer.reading import fill_unread, read, select_columns
from servicex_layer.transport import ResultSource, TransferStats

__all__ = ["ReadFile", "ReadTask"]


class ReadTask:
    """What all tasks share that read a partition: its file is waited for, found and opened.

    Parameters
    ----------
    request_id : str
        The request.
    backend : str or None
        The backend's name in ``servicex.yaml``; ``None`` for the default.
    form : awkward.forms.RecordForm
        What the file's columns are.
    tree : str or None
        The tree's name; ``None`` for the file's only one.
    columns : frozenset of str, optional
        The columns to read; by default all of the form.
    behavior : mapping, optional
        The array's behavior.
    await_file : AwaitFile, optional
        Called first, where what comes in is a number and not yet a file.
    report : bool
        Whether to give, with each partition, a record of what happened to it.
    """

    def __init__(
        self,
        request_id: str,
        backend: str | None,
        form: RecordForm,
        tree: str | None,
        *,
        columns: frozenset[str] | None = None,
        behavior: Mapping[Any, Any] | None = None,
        await_file: AwaitFile | None = None,
        report: bool = False,
    ) -> None:
        self.request_id = request_id
        self.backend = backend
        self.form = form
        self.tree = tree
        self.columns = columns
        self.behavior = behavior
        self.await_file = await_file
        self.report = report

    def __call__(self, file: Any) -> ak.Array | tuple[ak.Array, ak.Array]:
        """Read the file; a `NoFile` gives a partition of no events."""
        if self.await_file is not None:
            file = self.await_file(file)
        transfer = TransferStats()
        started = time.perf_counter()
        if isinstance(file, ResultFile):
            what = f"Result {file.name!r} of request {self.request_id}"
            layout = self.read(ResultSource(file, partial(self._locate, file), what, transfer))
        else:
            layout = self.empty()
        record_read(self.request_id, self.backend, file.number, transfer.received)
        array = ak.Array(layout, behavior=self.behavior)
        if not self.report:
            return array
        return array, record(file, transfer, time.perf_counter() - started)

    def project_columns(self, columns: frozenset[str]) -> Self:
        """Give the same, reading only these columns."""
        projected = copy.copy(self)
        projected.columns = columns
        return projected

    def read(self, source: ResultSource) -> ak.contents.Content:
        """Read the columns of a file; errors are those of `servicex_layer.reading.read`."""
        raise NotImplementedError

    def empty(self) -> ak.contents.Content:
        """Give what the columns are in a file of no events."""
        raise NotImplementedError

    def _locate(self, file: ResultFile, rejected: str | None) -> Location:
        found = feed(self.request_id, self.backend)
        location = found.locate_nowait(file, rejected)
        if location is not None:
            return location
        return found.submit(found.locate(file.name, rejected)).result()


class ReadFile(ReadTask, ColumnProjectionMixin):
    """Reads columns of a file that is finished: one partition.

    Columns are named by their form; those of fields within records have dots.
    """

    use_optimization = True
    attrs = None
    # Lists of which only the lengths are needed.
    offsets_only: frozenset[str] = frozenset()

    def project(self, report: Any, state: Any) -> Self:
        """Give the same, reading only what is needed for what was touched."""
        reader: Any = self
        projected: Self = self.project_columns(reader.necessary_columns(report, state))
        projected.offsets_only = offsets_only_columns(report, state)
        return projected

    def read(self, source: ResultSource) -> ak.contents.Content:
        """Read the columns of a file, and no others."""
        found = read(source, self.form, self.columns, self.tree, self.offsets_only)
        return fill_unread(found, self.form)

    def empty(self) -> ak.contents.Content:
        """Give these columns of a file of no events."""
        found = select_columns(self.form, self.columns).length_zero_array(highlevel=False)
        return fill_unread(found, self.form)
