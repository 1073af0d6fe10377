"""A request as tasks hold it: pickling it lets other processes ask this session."""

from __future__ import annotations

import asyncio
from typing import Any

from servicex_layer.feed._cluster import clusters
from servicex_layer.feed._order import SESSION
from servicex_layer.feed._parent import address_for_children
from servicex_layer.feed._request import NOTHING, RequestAddress
from servicex_layer.feed._session import cluster_of, feed
from servicex_layer.feed._worker_plugin import this_worker

__all__ = ["RequestRef"]


class RequestRef(RequestAddress):
    """A request and its backend; pickling one prepares other processes to ask this session.

    The parameters are those of `RequestAddress`.
    """

    __slots__ = ()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle it with the backend's URL, and with what this session knows of the order.

        A graph is pickled when it leaves this process, and nothing else of ours runs then. So this
        is where clusters join this session, and where it begins to answer child processes. Names
        of backends are this user's own, so the URL goes along instead.
        """
        return RequestRef, _prepare_others(self)

    def __dask_tokenize__(self) -> tuple[object, ...]:
        """Return what tells two of these apart; nothing that pickling adds."""
        return "RequestRef", self.request_id, self.backend


def _prepare_others(request: RequestRef) -> tuple[Any, ...]:
    """Prepare clusters and child processes to ask this session for a request.

    Returns
    -------
    tuple
        The arguments of a `RequestRef` for them.
    """
    url = request.url_or_name()
    if this_worker() is not None or (request.parent is not None and _in_event_loop()):
        # On a worker, or on a scheduler that hands the session's task on to one.
        return request.request_id, url, request.parent, request.known
    known = NOTHING
    if url is not None:
        cluster_of(url)
        # First: what is shared with the clusters is at least this.
        known = SESSION.summary(url, request.request_id)
        for side in clusters().values():
            if url in side.urls:
                side.join(url, request.request_id)
    return request.request_id, url, address_for_children(_feed_for_child), known


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _feed_for_child(request: dict[str, Any]) -> Any:
    return feed(RequestAddress(request["request_id"], request["backend"]))
