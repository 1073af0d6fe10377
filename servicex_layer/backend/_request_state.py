"""The state of a request at this moment, without polling."""

from __future__ import annotations

from servicex_layer._config import Polling
from servicex_layer._model import Backend, ResultRow, TransformStatus
from servicex_layer.backend._client import RestClient
from servicex_layer.errors import BackendError

__all__ = ["get_status", "list_files"]


async def get_status(backend: Backend, request_id: str) -> TransformStatus:
    """Return the status of a request.

    Raises
    ------
    BackendError
        If the backend does not know the request, or does not answer.
    """
    rest = RestClient(backend, Polling.configured().retry_timeout)
    async with rest.connected():
        return await rest.status(request_id)


async def list_files(backend: Backend, request_id: str) -> tuple[TransformStatus, list[ResultRow]]:
    """Return the status of a request, and its finished and failed files in order of completion.

    Raises
    ------
    BackendError
        If the backend does not know the request, does not list single files, or does not answer.
    """
    rest = RestClient(backend, Polling.configured().retry_timeout)
    async with rest.connected():
        # The status comes first: for an unknown request, the list of files is empty.
        status = await rest.status(request_id)
        if "poll_local_transformation_results" not in await rest.capabilities():
            raise BackendError(
                f"The ServiceX backend {backend.name} does not list which files of request "
                f"{request_id} are finished and which failed (it has no capability "
                "poll_local_transformation_results)."
            )
        rows = await rest.results(request_id)
    return status, sorted(rows, key=lambda row: row.file.order)
