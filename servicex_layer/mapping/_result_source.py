"""One finished file as something to read, for a task or a file system."""

from __future__ import annotations

from functools import partial

from servicex_layer._model import Location, ResultFile
from servicex_layer.feed import feed
from servicex_layer.transport import ResultSource

__all__ = ["result_source"]


def result_source(file: ResultFile, request_id: str, backend: str | None) -> ResultSource:
    """Return what is needed to read a finished file.

    Parameters
    ----------
    file : ResultFile
        The file.
    request_id : str
        Its request.
    backend : str or None
        The backend's name in ``servicex.yaml``; ``None`` for the default.
    """
    name = f"Result {file.name!r} of request {request_id}"
    if file.input:
        name += f" (input {file.input})"
    return ResultSource(file, partial(_locate, file, request_id, backend), name)


def _locate(
    file: ResultFile, request_id: str, backend: str | None, rejected: str | None
) -> Location:
    of_request = feed(request_id, backend)
    known = of_request.locate_nowait(file, rejected)
    if known is not None:
        return known
    return of_request.submit(of_request.locate(file.name, rejected)).result()
