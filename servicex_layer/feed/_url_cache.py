"""Keeps the URLs of results for as long as they are valid."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from servicex_layer._model import Location
from servicex_layer.errors import MissingObjectError
from servicex_layer.store import Store

__all__ = ["UrlCache"]

# A URL that expires sooner, in seconds, is not handed out: the read may start a little later.
_LEAST_LIFETIME = 30.0


class UrlCache:
    """The URLs of the results of one request: many are fetched at a time, and each once.

    Parameters
    ----------
    store : Store
        The store that has the results.
    owner : str
        Names the request in errors.
    """

    def __init__(self, store: Store, owner: str) -> None:
        self.store = store
        self._owner = owner
        self._locations: dict[str, Location] = {}
        self._lock = asyncio.Lock()

    async def locate(self, names: Sequence[str], rejected: str | None = None) -> Location:
        """Return where the first of `names` is; fetch the others too, they are likely to be next.

        Parameters
        ----------
        names : sequence of str
            Names in the object store.
        rejected : str, optional
            A URL of the first name that did not work; it is not returned again.

        Raises
        ------
        MissingObjectError
            If the store has no URL for the first name.
        BackendError
            If the store can't be reached, or doesn't answer what it should.
        """
        name = names[0]
        async with self._lock:
            location = self.get(name, rejected)
            if location is None:
                others = (other for other in names[1:] if self.get(other) is None)
                refused = rejected is not None
                fetched = await self.store.urls([name, *others], refused=refused)
                self._drop_expired()
                self._locations.update(fetched)
                location = self._locations.get(name)
        if location is None:
            raise MissingObjectError(
                f"{self._owner}: the backend reports the result {name!r} but has no URL for it. "
                "Ask the backend's operators."
            )
        return location

    def _drop_expired(self) -> None:
        now = time.time()
        expired = [name for name, place in self._locations.items() if place.expires < now]
        for name in expired:
            del self._locations[name]

    def get(self, name: str, rejected: str | None = None) -> Location | None:
        """Return where a result is, if a valid URL is known."""
        location = self._locations.get(name)
        if location is None or location.url == rejected:
            return None
        return location if location.expires - time.time() > _LEAST_LIFETIME else None
