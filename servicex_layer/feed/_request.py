"""Which request, of which backend, and what is known of it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from servicex_layer._config import find_backend
from servicex_layer.errors import ConfigError

__all__ = ["NOTHING", "RequestAddress"]

# What a session knows of an order at first.
NOTHING = (0, b"", "")


class RequestAddress:
    """A request and its backend, and the session that it comes from.

    Parameters
    ----------
    request_id : str
        The request.
    backend : str or None
        The backend's name in ``servicex.yaml`` or its URL; ``None`` for the default.
    parent : tuple, optional
        Process id and address of the process that pickled this; see `servicex_layer.feed._parent`.
    known : tuple, optional
        What the session that pickled this knew of the order of the request's files; see
        `SessionOrders.summary`.
    """

    __slots__ = ("backend", "known", "parent", "request_id")

    def __init__(
        self,
        request_id: str,
        backend: str | None = None,
        parent: tuple[int, Any] | None = None,
        known: tuple[int, bytes, str] = NOTHING,
    ) -> None:
        self.request_id = request_id
        self.backend = backend
        self.parent = parent
        self.known = known

    def __repr__(self) -> str:
        backend = self.backend or "the default backend"
        return f"{type(self).__name__}<{self.request_id} of {backend}>"

    def url_or_name(self) -> str | None:
        """Return the backend's URL; its name if ``servicex.yaml`` is not here or has it not."""
        if self.backend is None or "://" not in self.backend:
            with suppress(ConfigError):
                return find_backend(self.backend).url
        return self.backend
