"""Keeps the locations that a store gave, for as long as they are good."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from servicex_layer._model import Location
from servicex_layer.errors import MissingObjectError
from servicex_layer.store import Store

__all__ = ["UrlCache"]

# A URL that is about to expire is not handed on: the read may start a little later.
_LEAST_LIFE = 30.0


class UrlCache:
    """Where the results of one request are; many are asked for at once, and only once.

    Parameters
    ----------
    store : Store
        Where they are asked for.
    what : str
        Whose results, for errors.
    """

    def __init__(self, store: Store, what: str) -> None:
        self.store = store
        self._what = what
        self._known: dict[str, Location] = {}
        self._lock = asyncio.Lock()

    async def locate(self, names: Sequence[str], rejected: str | None = None) -> Location:
        """Tell where the first of `names` is; the others are likely to be asked for next.

        A URL that was `rejected` when it was used is not given again.

        Raises
        ------
        MissingObjectError
            Where the store gives no URL for it.
        BackendError
            Where it cannot be asked.
        """
        async with self._lock:
            wanted = names[0]
            if self.known(wanted, rejected) is None:
                others = (name for name in names[1:] if self.known(name) is None)
                refused = rejected is not None
                self._known.update(await self.store.urls([wanted, *others], refused=refused))
            if wanted not in self._known:
                raise MissingObjectError(
                    f"{self._what} has the result {wanted!r}, as its backend says, which gives no "
                    "URL for it."
                )
            return self._known[wanted]

    def known(self, name: str, rejected: str | None = None) -> Location | None:
        """Tell where a result is, if that is known by now."""
        location = self._known.get(name)
        if location is None or location.url == rejected:
            return None
        return location if location.expires - time.time() > _LEAST_LIFE else None
