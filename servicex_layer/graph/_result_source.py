"""One finished file as something to read, for a task or a file system."""

from __future__ import annotations

from functools import partial

from servicex_layer._model import Location, ResultFile
from servicex_layer.feed import Feed, RequestRef, feed
from servicex_layer.transport import ResultSource, TransferStats

__all__ = ["result_source"]


def result_source(
    file: ResultFile, request: RequestRef, transfer: TransferStats | None = None
) -> ResultSource:
    """Return what is needed to read a finished file.

    Parameters
    ----------
    file : ResultFile
        The file.
    request : RequestRef
        Its request.
    transfer : TransferStats, optional
        Counts what reading it costs.
    """
    description = f"Result {file.name!r} of request {request.request_id}"
    if file.input:
        description += f" (input {file.input})"
    # Found here: libraries read in threads of their own, which Dask does not know as a worker's.
    locate = partial(_locate, file, feed(request))
    return ResultSource(file, locate, description, transfer or TransferStats())


def _locate(file: ResultFile, request_feed: Feed, rejected: str | None) -> Location:
    location = request_feed.locate_nowait(file, rejected)
    if location is not None:
        return location
    return request_feed.submit(request_feed.locate(file.name, rejected)).result()
