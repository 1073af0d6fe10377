"""One call for each request behind an argument, all at the same time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from servicex_layer._config import find_backend
from servicex_layer.backend import RequestStatus, RestClient, rest_client
from servicex_layer.feed import loop_thread
from servicex_layer.monitor._request_statuses import RequestStatuses
from servicex_layer.monitor._requests import RequestSelection, selections_of

__all__ = ["call_for_each_request"]


def call_for_each_request(
    request: Any,
    backend: str | None,
    call: Callable[[RestClient, str], Awaitable[RequestStatus]],
) -> RequestStatus | RequestStatuses:
    """Call a function with each request, and return the result, or those of several by name.

    An error is raised after all calls have ended.

    Parameters
    ----------
    request, backend
        As in `status`.
    call : callable
        Called with the client of a backend and the id of a request.
    """
    selections = _by_name(selections_of([request], backend))
    backends = {each.backend for each in selections.values()}
    clients = {name: rest_client(find_backend(name)) for name in backends}

    async def call_all() -> list[RequestStatus | BaseException]:
        return await asyncio.gather(
            *(call(clients[each.backend], each.request_id) for each in selections.values()),
            return_exceptions=True,
        )

    statuses: dict[str, RequestStatus] = {}
    for name, outcome in zip(selections, loop_thread().run(call_all()), strict=True):
        if isinstance(outcome, BaseException):
            raise outcome
        statuses[name] = outcome
    if len(statuses) == 1 and not isinstance(request, Mapping):
        return next(iter(statuses.values()))
    return RequestStatuses(statuses)


def _by_name(selections: list[RequestSelection]) -> dict[str, RequestSelection]:
    """Return the requests by name; those that share one, by name and id."""
    requests = {(each.name, each.request_id, each.backend): each for each in selections}
    counts = Counter(name for name, _, _ in requests)
    return {
        name if counts[name] == 1 else f"{name} {request_id}": each
        for (name, request_id, _), each in requests.items()
    }
