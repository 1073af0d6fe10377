"""The form of the first finished file of a request."""

from __future__ import annotations

from collections.abc import Callable

from awkward.forms import RecordForm

from servicex_layer._model import Backend, Location, NoFile, TransformStatus
from servicex_layer.errors import FormError
from servicex_layer.feed import RequestRef, feed, loop_thread
from servicex_layer.graph._waiting_note import result_with_note
from servicex_layer.transport import ResultSource

__all__ = ["form_of_first_file"]


def form_of_first_file(
    backend: Backend,
    status: TransformStatus,
    tree: str | None,
    read_form: Callable[[ResultSource, str | None], RecordForm],
) -> RecordForm:
    """Wait for the first file of a request and read its form.

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
        If the request ends without a finished file.
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
    file = result_with_note(
        request_feed.submit(request_feed.get(0, max(status.files, 1))),
        lambda seconds: (
            f"Request {request_id}: waiting for its first file, which defines the form "
            f"({seconds:.0f} s; {request_feed.status or status}). Pass form=… to skip this wait."
        ),
    )
    if isinstance(file, NoFile):
        raise FormError(
            f"Request {request_id} has no finished file to read the form from. Pass it, as in "
            "form='{JetPt: var * float64}'."
        )
    name = file.name

    def locate(rejected: str | None) -> Location:
        return loop_thread().run(request_feed.locate(name, rejected))

    return read_form(ResultSource(file, locate, f"Result {name!r} of request {request_id}"), tree)
