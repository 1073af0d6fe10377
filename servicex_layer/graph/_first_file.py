"""The form of the first finished file of a request that has a tree."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from awkward.forms import RecordForm

from servicex_layer._model import Backend, Location, NoFile, ResultFile, TransformStatus
from servicex_layer.errors import FormError, NoTreeError
from servicex_layer.feed import Feed, RequestRef, feed
from servicex_layer.graph._waiting_note import result_with_note
from servicex_layer.transport import ResultSource

__all__ = ["form_of_first_file"]


def form_of_first_file(
    backend: Backend,
    status: TransformStatus,
    tree: str | None,
    read_form: Callable[[ResultSource, str | None], RecordForm],
) -> RecordForm:
    """Wait for the first file of a request and read its form; if it has no tree, try the next.

    Parameters
    ----------
    backend : Backend
        The backend.
    status : TransformStatus
        The request's state so far; its number of files is final.
    tree : str or None
        Name of the tree; ``None`` for the only tree of the file.
    read_form : callable
        Reads the form of a result.

    Returns
    -------
    awkward.forms.RecordForm
        The form; without columns if the request has no files.

    Raises
    ------
    FormError
        If the request ends without a finished file that has a tree.
    RequestError
        If the file will not come.
    BackendError
        If the backend can't be asked.
    ResultError
        If the file can't be read.
    """
    request_id = status.request_id
    if status.is_terminal and status.files == 0:
        return RecordForm([], [])
    request_feed = feed(RequestRef(request_id, backend.url))
    npartitions = max(status.files, 1)
    without_tree = None
    for number in range(npartitions):
        file = result_with_note(
            request_feed.submit(request_feed.get(number, npartitions)),
            partial(_message, request_feed, status),
        )
        if isinstance(file, NoFile):
            break
        locate = partial(_locate, request_feed, file)
        description = f"Result {file.name!r} of request {request_id}"
        try:
            return read_form(ResultSource(file, locate, description), tree)
        except NoTreeError as error:
            without_tree = error
    raise FormError(
        f"Request {request_id} has no finished file with a tree to read the form from. Pass it, as "
        "in form='{JetPt: var * float64}'."
    ) from without_tree


def _message(request_feed: Feed, status: TransformStatus, waited: float) -> str:
    return (
        f"Request {status.request_id}: waiting for its first file, which defines the form "
        f"({waited:.0f} s; {request_feed.status or status}). Pass form=… to skip this wait."
    )


def _locate(request_feed: Feed, file: ResultFile, rejected: str | None) -> Location:
    return request_feed.submit(request_feed.locate(file.name, rejected)).result()
