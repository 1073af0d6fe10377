"""The protocol of all stores, and the choice of a request's store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from servicex_layer._model import Location, ResultRow, TransformStatus
from servicex_layer.backend import RestClient
from servicex_layer.errors import BackendError

__all__ = ["Store", "open_store"]


class Store(Protocol):
    """The results of one request: which are finished, and where they are."""

    eventually_consistent: bool
    """Whether a result can appear here after the counters include it."""

    async def urls(self, names: Sequence[str], *, refused: bool = False) -> Mapping[str, Location]:
        """Return where results are; missing results may be left out.

        `refused` means that an earlier URL was refused when it was used.
        """
        ...

    async def list_finished(self, since: datetime | None) -> list[ResultRow]:
        """Return finished files in no particular order: at least those newer than `since`."""
        ...

    def expected_rows(self, status: TransformStatus) -> int:
        """Return how many rows `list_finished` has at least, by the counters of a status."""
        ...

    def now(self) -> datetime:
        """Return the time (UTC) of the clock that dates the rows; never ahead of it."""
        ...


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
