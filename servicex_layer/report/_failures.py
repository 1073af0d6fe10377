"""The failed input files of a request."""

from __future__ import annotations

from servicex_layer._config import find_backend
from servicex_layer.backend import failed_inputs, list_files
from servicex_layer.feed import loop_thread

__all__ = ["failures"]


def failures(request_id: str, backend: str | None = None) -> list[str]:
    """List the failed input files of a request, as its backend names them.

    Parameters
    ----------
    request_id : str
        The request.
    backend : str, optional
        The backend's name in ``servicex.yaml``; by default the default backend.

    Returns
    -------
    list of str
        Paths or URLs, in the order of failure. If the request is running, those so far.

    Raises
    ------
    UnknownRequestError
        If the backend does not know the request.
    BackendError
        If the backend cannot be reached, or does not list single files.

    Examples
    --------
    >>> failures("b5901cca-9858-42e7-a093-0929cf391f0e")  # doctest: +SKIP
    ['root://eospublic.cern.ch//eos/opendata/atlas/17.root']
    """
    _, rows = loop_thread().run(list_files(find_backend(backend), request_id))
    return failed_inputs(rows)
