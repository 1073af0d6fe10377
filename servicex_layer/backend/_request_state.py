"""The state of requests at this moment, without polling."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from servicex_layer._config import Polling
from servicex_layer._model import Backend, ResultRow, TransformStatus
from servicex_layer.backend._client import RestClient
from servicex_layer.backend._request_status import RequestStatus
from servicex_layer.errors import BackendError

__all__ = [
    "cancel_request",
    "failed_inputs",
    "get_log",
    "get_status",
    "list_files",
    "list_requests",
    "rest_client",
]

_LISTS_FILES = "poll_local_transformation_results"
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def rest_client(backend: Backend) -> RestClient:
    """Return a client that gives up after the setting ``retry-timeout``."""
    return RestClient(backend, Polling.configured().retry_timeout)


async def get_status(
    rest: RestClient, request_id: str, previous: RequestStatus | None = None
) -> RequestStatus:
    """Return the status of a request, with its failed inputs if the backend lists single files.

    Parameters
    ----------
    rest : RestClient
        The client of the backend.
    request_id : str
        The request.
    previous : RequestStatus, optional
        An earlier status. If no more files failed since, files are not listed again, which is
        expensive for the server.

    Raises
    ------
    BackendError
        If the backend does not know the request, or does not answer.
    """
    async with rest.connected():
        return await _with_failures(rest, await rest.status(request_id), previous)


async def cancel_request(rest: RestClient, request_id: str) -> RequestStatus:
    """Cancel a request if it has not ended, and return its status.

    Raises
    ------
    BackendError
        If the backend does not know the request, refuses to cancel it, or does not answer.
    """
    async with rest.connected():
        return await _with_failures(rest, await rest.cancel(request_id), None)


async def list_files(backend: Backend, request_id: str) -> tuple[TransformStatus, list[ResultRow]]:
    """Return the status of a request, and its finished and failed files in order of completion.

    Raises
    ------
    BackendError
        If the backend does not know the request, does not list single files, or does not answer.
    """
    rest = rest_client(backend)
    async with rest.connected():
        # The status comes first: for an unknown request, the list of files is empty.
        status = await rest.status(request_id)
        if _LISTS_FILES not in await rest.capabilities():
            raise BackendError(
                f"The ServiceX backend {backend.name} does not list which files of request "
                f"{request_id} are finished and which failed (it has no capability "
                f"{_LISTS_FILES})."
            )
        rows = await rest.results(request_id)
    return status, _in_order(rows)


async def list_requests(backend: Backend) -> list[TransformStatus]:
    """Return the status of every request that the backend shows to this user, newest first.

    Raises
    ------
    BackendError
        If the backend does not answer.
    """
    rest = rest_client(backend)
    async with rest.connected():
        statuses = await rest.statuses()
    return sorted(statuses, key=lambda each: each.submitted_at or _LONG_AGO, reverse=True)


async def get_log(backend: Backend, request_id: str) -> tuple[TransformStatus, str | None]:
    """Return the status of a request, and the text of its log if the backend itself serves it.

    Raises
    ------
    BackendError
        If the backend does not know the request, or does not answer.
    """
    rest = rest_client(backend)
    async with rest.connected():
        status = await rest.status(request_id)
        return status, await rest.log(status)


def failed_inputs(rows: Iterable[ResultRow]) -> list[str]:
    """Return the inputs of the rows without a result."""
    return [row.file.input for row in rows if not row.success]


async def _with_failures(
    rest: RestClient, status: TransformStatus, previous: RequestStatus | None
) -> RequestStatus:
    failures: Sequence[str] = previous.failed_inputs if previous is not None else ()
    if status.failed != len(failures) and _LISTS_FILES in await rest.capabilities():
        failures = failed_inputs(_in_order(await rest.results(status.request_id)))
    return RequestStatus.of(rest.backend, status, failures)


def _in_order(rows: Iterable[ResultRow]) -> list[ResultRow]:
    return sorted(rows, key=lambda row: row.file.order)
