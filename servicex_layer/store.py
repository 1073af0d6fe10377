"""Where the bytes of results are: URLs for a while, asked for in batches."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Protocol

from servicex_layer.errors import BackendError, MissingObjectError
from servicex_layer.model import Location
from servicex_layer.rest import RestClient

__all__ = ["FileUrls", "Store"]

# A URL that is about to expire is not handed on: the read may start a little later.
_LEAST_LIFE = 30.0


class Store(Protocol):
    """Something that knows where the results of one request are."""

    async def locate(self, names: Sequence[str], rejected: str | None = None) -> Location:
        """Tell where the first of `names` is; the others are likely to be asked for next.

        A URL that was `rejected` when it was used is not given again.
        """
        ...


class FileUrls:
    """URLs that the backend itself signs (its capability ``generate_file_urls``).

    Parameters
    ----------
    rest : RestClient
        The backend.
    request_id : str
        The request.
    """

    def __init__(self, rest: RestClient, request_id: str) -> None:
        self._rest = rest
        self._request_id = request_id
        self._known: dict[str, Location] = {}
        self._lock = asyncio.Lock()

    async def locate(self, names: Sequence[str], rejected: str | None = None) -> Location:
        """Tell where the first of `names` is.

        Raises
        ------
        MissingObjectError
            Where the backend gives no URL for it.
        BackendError
            Where the backend cannot give URLs.
        """
        async with self._lock:
            wanted = names[0]
            if not self._is_good(wanted) or self._known[wanted].url == rejected:
                others = (name for name in names[1:] if not self._is_good(name))
                await self._ask([wanted, *others])
            if wanted not in self._known:
                raise MissingObjectError(
                    f"The ServiceX backend {self._rest.backend.name} reported {wanted!r} as a "
                    f"result of request {self._request_id}, but gives no URL for it."
                )
            return self._known[wanted]

    async def _ask(self, names: list[str]) -> None:
        async with self._rest.connected():
            if not self._known and "generate_file_urls" not in await self._rest.capabilities():
                raise BackendError(
                    f"The ServiceX backend {self._rest.backend.name} cannot give URLs of results "
                    "(it has no capability generate_file_urls)."
                )
            self._known.update(await self._rest.file_urls(self._request_id, names))

    def _is_good(self, name: str) -> bool:
        location = self._known.get(name)
        return location is not None and location.expires - time.time() > _LEAST_LIFE
