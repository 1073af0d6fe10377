"""`status`: how far requests are at this moment, and why files failed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, overload

from servicex_layer.backend import RequestStatus, get_status
from servicex_layer.monitor._each_request import call_for_each_request
from servicex_layer.monitor._request_statuses import RequestStatuses

__all__ = ["status"]


@overload
def status(request: str, backend: str | None = ...) -> RequestStatus: ...
@overload
def status(request: Mapping[str, Any], backend: str | None = ...) -> RequestStatuses: ...
# The graph of a collection decides which of the two it is.
@overload
def status(request: Any, backend: str | None = ...) -> Any: ...
def status(request: Any, backend: str | None = None) -> RequestStatus | RequestStatuses:
    """Return how far a request is at this moment, and why files failed.

    Costs one call, and if files failed two more. To follow a request, use `progress`, or
    ``servicex-layer status REQUEST --watch``.

    Parameters
    ----------
    request : str, dask collection or mapping
        The id of a request, an array of `from_servicex`, a result of `map_files`, a collection made
        of these, or a mapping from names to these, such as the result of `deliver`.
    backend : str, optional
        The backend of ids: its name in ``servicex.yaml``; by default the default backend.
        Collections know theirs.

    Returns
    -------
    RequestStatus or RequestStatuses
        The state, the numbers of files, the failed inputs, the reason and the URL of the logs. For
        a mapping, and for a collection made of several requests, a mapping from names to these.

    Raises
    ------
    InvalidArgumentError
        If `request` has no request behind it.
    ConfigError
        If ``servicex.yaml`` is missing or invalid, or lacks the backend.
    UnknownRequestError
        If the backend does not know a request.
    BackendError
        If the backend cannot be reached, or rejects the token.

    Examples
    --------
    >>> status(events)  # doctest: +SKIP
    Request  b5901cca-9858-42e7-a093-0929cf391f0e
    Backend  uc-af, https://servicex.af.uchicago.edu
    Status   Running
    Files    12 looked up, 7 finished, 1 failed
    Format   root-file
    Failed   root://eospublic.cern.ch//eos/opendata/atlas/17.root
    Reason   No such branch: JetPt
    Logs     https://servicex.af.uchicago.edu/logs/17
    >>> status({"data": data, "ttbar": ttbar})["data"].failed  # doctest: +SKIP
    0
    """
    return call_for_each_request(request, backend, get_status)
