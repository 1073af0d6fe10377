"""Where the results of a request are, and which are finished: one protocol for all backends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from servicex_layer._model import Location, ResultRow, TransformStatus
from servicex_layer.backend import RestClient
from servicex_layer.errors import BackendError

__all__ = ["Store", "open_store"]


class Store(Protocol):
    """Something that knows the results of one request."""

    eventually_consistent: bool
    """Whether a result can still appear here after the counters count it."""

    async def urls(self, names: Sequence[str], *, refused: bool = False) -> Mapping[str, Location]:
        """Tell where results are; some of those that are not there may be left out.

        `refused` says that a URL that was given before is not accepted.
        """
        ...

    async def list_finished(self, since: datetime | None) -> list[ResultRow]:
        """List what is finished, in no particular order; at least what is newer than `since`."""
        ...

    def expected_rows(self, status: TransformStatus) -> int:
        """Tell how many rows `list_finished` is to list, by the counters of a status."""
        ...

    def now(self) -> datetime:
        """Tell the time by the clock that the rows' times come from (UTC); never ahead."""
        ...


async def open_store(rest: RestClient, status: TransformStatus, retry_timeout: float) -> Store:
    """Choose the store of a request, by what its backend can do.

    Parameters
    ----------
    rest : RestClient
        The backend, connected.
    status : TransformStatus
        A status of the request.
    retry_timeout : float
        How long one call to an S3 store is tried again, in seconds.

    Raises
    ------
    BackendError
        Where the backend tells of no way to the results.
    """
    from servicex_layer.store._backend import FileUrls, Volume

    can = await rest.capabilities()
    lists = "poll_local_transformation_results" in can
    if lists and status.destination == "volume":
        return Volume(rest, status.request_id)
    if lists and "generate_file_urls" in can:
        return FileUrls(rest, status.request_id)
    if status.store is None or status.destination == "volume":
        lacks = "generate_file_urls" if lists else "poll_local_transformation_results"
        raise BackendError(
            f"The ServiceX backend {rest.backend.name} tells of no way to the results of request "
            f"{status.request_id}: it has no capability {lacks}, and its status names no S3 store "
            f"that they are in (result-destination {status.destination!r}). Ask its operators."
        )
    # minio takes its time to import.
    from servicex_layer.store._s3 import Listing, Presigned

    kind = Presigned if lists else Listing
    return kind(rest, status.request_id, status.store, retry_timeout)
