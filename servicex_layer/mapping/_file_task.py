"""The task of one finished file, or of a few."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from servicex_layer._model import FileGroup, NoFile, ResultFile
from servicex_layer.feed import RequestRef, record_read
from servicex_layer.graph import record, result_source
from servicex_layer.mapping._partial import Merge, Partial
from servicex_layer.transport import ResultSource, TransferStats

__all__ = ["CallOnResult", "FileTask"]

CallOnResult = Callable[[ResultSource, Mapping[str, Any]], list[Any]]
"""Called with a result and its metadata; returns a list of at most one value."""


@dataclass(frozen=True)
class FileTask:
    """Calls something with each of its files, and merges what comes.

    Parameters
    ----------
    call : callable
        Called with a result and its metadata; returns a list of at most one value.
    request : RequestRef
        The request.
    metadata : mapping
        What the metadata of each file begins with.
    merge : Merge
        Merges the parts.
    report : bool
        Whether to record what happened to each file.
    """

    call: CallOnResult
    request: RequestRef
    metadata: Mapping[str, Any]
    merge: Merge
    report: bool

    def __call__(self, file: ResultFile | NoFile | FileGroup) -> Partial:
        """Return what came of a file, or of the files of a group, one after the other."""
        files = file.files if isinstance(file, FileGroup) else (file,)
        return self.merge(*map(self._part_of, files))

    def _part_of(self, file: ResultFile | NoFile) -> Partial:
        started = time.perf_counter()
        if isinstance(file, ResultFile):
            source = result_source(file, self.request)
            transfer = source.transfer
            values = self.call(source, self._metadata_of(file))
        else:
            transfer, values = TransferStats(), []
        record_read(self.request, file.number, transfer.received)
        if not self.report:
            return Partial(values)
        happened = record(file, transfer, time.perf_counter() - started)
        return Partial(values, [happened])

    def _metadata_of(self, file: ResultFile) -> dict[str, Any]:
        return {
            "dataset": self.request.request_id,
            "filename": file.input or file.name,
            "number": file.number,
            "request_id": self.request.request_id,
            **self.metadata,
        }
