"""S3 stores, for backends that don't sign URLs: presigned URLs, and listings of the bucket."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

import tenacity

from servicex_layer._model import Location, ResultFile, ResultRow, StoreAccess, TransformStatus
from servicex_layer.backend import RestClient
from servicex_layer.errors import (
    AuthorizationError,
    BackendError,
    BackendUnreachableError,
    ProtocolError,
)
from servicex_layer.net import TransientError, check_url, retry_policy
from servicex_layer.store._backend import BackendRows
from servicex_layer.store._bucket import Bucket

__all__ = ["Listing", "Presigned"]

T = TypeVar("T")

_URL_LIFETIME = timedelta(hours=1)


class Presigned(BackendRows):
    """URLs signed here with the keys of the request's status, if the backend signs none.

    Parameters
    ----------
    rest : RestClient
        The backend.
    request_id : str
        The request.
    access : StoreAccess
        Address and keys of the store, from the request's status.
    retry_timeout : float
        How long a call to the store is retried, in seconds.
    """

    def __init__(
        self, rest: RestClient, request_id: str, access: StoreAccess, retry_timeout: float
    ) -> None:
        super().__init__(rest, request_id)
        self._retry_timeout = retry_timeout
        self._bucket = self._open_bucket(access)

    async def urls(self, names: Sequence[str], *, refused: bool = False) -> Mapping[str, Location]:
        """See `servicex_layer.store.Store.urls`."""
        if refused:
            await self._update_keys()
        expires = time.time() + _URL_LIFETIME.total_seconds()
        urls = await self._call(lambda bucket: bucket.sign(names, _URL_LIFETIME))
        return {name: Location(url, expires=expires) for name, url in urls.items()}

    async def _call(self, function: Callable[[Bucket], Awaitable[T]]) -> T:
        try:
            return await self._retry(function)
        except AuthorizationError:
            if not await self._update_keys():
                raise
            return await self._retry(function)

    async def _retry(self, function: Callable[[Bucket], Awaitable[T]]) -> T:
        attempts = tenacity.AsyncRetrying(**retry_policy(self._retry_timeout), reraise=True)

        async def attempt() -> T:
            return await function(self._bucket)

        try:
            return await attempts(attempt)
        except TransientError as error:
            raise BackendUnreachableError(
                f"{error}. It was retried for {self._retry_timeout:g} s (setting "
                "servicex-layer.retry-timeout)."
            ) from None

    async def _update_keys(self) -> bool:
        """Read the keys from the request's status; return whether they have changed."""
        async with self._rest.connected():
            access = (await self._rest.status(self._request_id)).store
        if access is None:
            raise BackendError(
                f"The status of request {self._request_id} names no S3 store any more. Ask the "
                f"operators of the ServiceX backend {self._rest.backend.name}."
            )
        if access == self._bucket.access:
            return False
        self._bucket = self._open_bucket(access)
        return True

    def _open_bucket(self, access: StoreAccess) -> Bucket:
        check_url(str(access), self._rest.backend.url, "the S3 store of its results")
        return Bucket(self._request_id, access)


class Listing(Presigned):
    """The listing of the request's bucket, if the backend does not list single files.

    A listing is ordered by name, so all of it is read each time. It holds results only: a failed
    file has none. Servers of this kind count a result before they upload it.
    """

    eventually_consistent = True

    async def list_finished(self, since: datetime | None) -> list[ResultRow]:
        """See `servicex_layer.store.Store.list_finished`."""
        del since
        objects = await self._call(Bucket.objects)
        return [self._row(entry.object_name, entry.last_modified, entry.size) for entry in objects]

    def expected_rows(self, status: TransformStatus) -> int:
        """See `servicex_layer.store.Store.expected_rows`."""
        return status.completed

    def _row(self, name: str | None, modified: datetime | None, size: int | None) -> ResultRow:
        if name is None or modified is None or size is None:
            raise ProtocolError(
                f"The S3 store {self._bucket.access} lists an object of request "
                f"{self._request_id} without a name, a time or a size: {name!r}. Is it an S3 store?"
            )
        return ResultRow(ResultFile(0, modified, name, "", None, size), success=True)
