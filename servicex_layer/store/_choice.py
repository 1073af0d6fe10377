"""Chooses the store of a request: add a new kind of store here."""

from __future__ import annotations

from servicex_layer._model import TransformStatus
from servicex_layer.backend import RestClient
from servicex_layer.errors import BackendError
from servicex_layer.store._protocol import Store

__all__ = ["open_store"]


async def open_store(rest: RestClient, status: TransformStatus, retry_timeout: float) -> Store:
    """Choose the store of a request by the capabilities of its backend.

    Parameters
    ----------
    rest : RestClient
        The backend, connected.
    status : TransformStatus
        A status of the request.
    retry_timeout : float
        How long a call to an S3 store is retried, in seconds.

    Raises
    ------
    BackendError
        If the backend offers no supported access to the results.
    """
    from servicex_layer.store._backend import FileUrls, Volume

    capabilities = await rest.capabilities()
    lists_rows = "poll_local_transformation_results" in capabilities
    if lists_rows and status.destination == "volume":
        return Volume(rest, status.request_id)
    if lists_rows and "generate_file_urls" in capabilities:
        return FileUrls(rest, status.request_id)
    if status.store is None or status.destination == "volume":
        missing = "generate_file_urls" if lists_rows else "poll_local_transformation_results"
        raise BackendError(
            f"The ServiceX backend {rest.backend.name} offers no supported access to the results "
            f"of request {status.request_id}: it has no capability {missing}, and its status names "
            f"no S3 store with the results (result-destination {status.destination!r}). Ask its "
            "operators."
        )
    # minio is slow to import.
    from servicex_layer.store._s3 import Listing, Presigned

    store_class = Presigned if lists_rows else Listing
    return store_class(rest, status.request_id, status.store, retry_timeout)
