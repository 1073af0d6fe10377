"""`cancel`: stop requests that nobody needs any more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, overload

from servicex_layer.backend import RequestStatus, cancel_request
from servicex_layer.monitor._each_request import call_for_each_request
from servicex_layer.monitor._request_statuses import RequestStatuses

__all__ = ["cancel"]


@overload
def cancel(request: str, backend: str | None = ...) -> RequestStatus: ...
@overload
def cancel(request: Mapping[str, Any], backend: str | None = ...) -> RequestStatuses: ...
# The graph of a collection decides which of the two it is.
@overload
def cancel(request: Any, backend: str | None = ...) -> Any: ...
def cancel(request: Any, backend: str | None = None) -> RequestStatus | RequestStatuses:
    """Cancel a request; if it has ended, do nothing.

    Computations that wait for its files end with a `TransformCanceledError`. Files that finished
    before can still be read. ServiceX still accepts files in flight: if these are all that were
    missing, the request becomes ``Complete``.

    Parameters
    ----------
    request : str, dask collection or mapping
        As in `status`. All requests are canceled, even if one of them is an error.
    backend : str, optional
        The backend of ids: its name in ``servicex.yaml``; by default the default backend.
        Collections know theirs.

    Returns
    -------
    RequestStatus or RequestStatuses
        The state afterwards, as from `status`.

    Raises
    ------
    InvalidArgumentError
        If `request` has no request behind it.
    ConfigError
        If ``servicex.yaml`` is missing or invalid, or lacks the backend.
    UnknownRequestError
        If the backend does not know a request.
    BackendError
        If the backend cannot be reached, rejects the token, or refuses to cancel a request.

    Examples
    --------
    >>> cancel(events).state  # doctest: +SKIP
    'Canceled'
    """
    return call_for_each_request(request, backend, cancel_request)
