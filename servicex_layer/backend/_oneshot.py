"""A request as its backend tells of it, for people and programs: asked once, not followed."""

from __future__ import annotations

from servicex_layer._config import Polling
from servicex_layer._model import Backend, ResultRow, TransformStatus
from servicex_layer.backend._client import RestClient
from servicex_layer.errors import BackendError

__all__ = ["get_status", "list_files"]


async def get_status(backend: Backend, request_id: str) -> TransformStatus:
    """Ask for the state of a request.

    Raises
    ------
    BackendError
        Where the backend does not know the request, or cannot be asked.
    """
    rest = RestClient(backend, Polling.configured().retry_timeout)
    async with rest.connected():
        return await rest.status(request_id)


async def list_files(backend: Backend, request_id: str) -> tuple[TransformStatus, list[ResultRow]]:
    """Ask for the state of a request, and for its finished and failed files so far.

    Raises
    ------
    BackendError
        Where the backend does not know the request, does not tell of single files, or cannot be
        asked.
    """
    rest = RestClient(backend, Polling.configured().retry_timeout)
    async with rest.connected():
        # Of a request that it does not know, a backend lists no results.
        status = await rest.status(request_id)
        if "poll_local_transformation_results" not in await rest.capabilities():
            raise BackendError(
                f"The ServiceX backend {backend.name} does not tell which files of request "
                f"{request_id} are finished and which failed (it has no capability "
                "poll_local_transformation_results)."
            )
        rows = await rest.results(request_id)
    return status, sorted(rows, key=lambda row: row.file.order)
