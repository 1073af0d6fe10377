"""Which request, of which backend: what tasks hold and what is sent to other processes."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from servicex_layer._config import find_backend
from servicex_layer.errors import ConfigError

__all__ = ["NOTHING", "RequestRef"]

# What a session knows of an order at first.
NOTHING = (0, b"", "")


class RequestRef:
    """A request and its backend; pickling one prepares other processes to ask this session.

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
        return f"RequestRef<{self.request_id} of {self.backend or 'the default backend'}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle it with the backend's URL, and with what this session knows of the order.

        A graph is pickled when it leaves this process, and nothing else of ours runs then. So this
        is where clusters join this session, and where it begins to answer child processes. Names
        of backends are this user's own, so the URL goes along instead.
        """
        # It imports this module.
        from servicex_layer.feed._session import prepare_others

        return RequestRef, prepare_others(self)

    def __dask_tokenize__(self) -> tuple[object, ...]:
        """Return what tells two of these apart; nothing that pickling adds."""
        return "RequestRef", self.request_id, self.backend

    def url_or_name(self) -> str | None:
        """Return the backend's URL; its name if ``servicex.yaml`` is not here or has it not."""
        if self.backend is None or "://" not in self.backend:
            with suppress(ConfigError):
                return find_backend(self.backend).url
        return self.backend
