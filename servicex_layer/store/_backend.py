"""Stores of backends that list the results themselves: signed URLs, and volumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from servicex_layer._model import Location, ResultRow, TransformStatus
from servicex_layer.backend import RestClient
from servicex_layer.errors import BackendError

__all__ = ["BackendRows", "FileUrls", "Volume"]


class BackendRows:
    """The rows of ``results`` (the capability ``poll_local_transformation_results``).

    Parameters
    ----------
    rest : RestClient
        The backend.
    request_id : str
        The request.
    """

    eventually_consistent = False

    def __init__(self, rest: RestClient, request_id: str) -> None:
        self._rest = rest
        self._request_id = request_id

    async def list_finished(self, since: datetime | None) -> list[ResultRow]:
        """See `servicex_layer.store.Store.list_finished`."""
        return await self._rest.results(self._request_id, since)

    def expected_rows(self, status: TransformStatus) -> int:
        """See `servicex_layer.store.Store.expected_rows`; failed files have rows, too."""
        return status.completed + status.failed


class FileUrls(BackendRows):
    """URLs that the backend signs (its capability ``generate_file_urls``)."""

    async def urls(self, names: Sequence[str], *, refused: bool = False) -> Mapping[str, Location]:
        """See `servicex_layer.store.Store.urls`."""
        del refused
        async with self._rest.connected():
            return await self._rest.file_urls(self._request_id, names)


class Volume(BackendRows):
    """A volume that is mounted on each machine that reads results."""

    async def list_finished(self, since: datetime | None) -> list[ResultRow]:
        """See `servicex_layer.store.Store.list_finished`.

        Raises
        ------
        BackendError
            If the rows don't name the results.
        """
        rows = await super().list_finished(since)
        if any(row.success and row.file.name == "none" for row in rows):
            raise BackendError(
                f"The ServiceX backend {self._rest.backend} does not name the result files that "
                f"request {self._request_id} writes to a volume (each is called 'none'), so they "
                "can't be read from here. Submit the request with the object store as destination."
            )
        return rows

    async def urls(self, names: Sequence[str], *, refused: bool = False) -> Mapping[str, Location]:
        """See `servicex_layer.store.Store.urls`."""
        del refused
        return {name: Location("", path=name) for name in names}
