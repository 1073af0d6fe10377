"""Waiting until ServiceX knows how many files a request has."""

from __future__ import annotations

import asyncio

from servicex_layer._config import seconds
from servicex_layer._model import TransformStatus
from servicex_layer.backend import RestClient
from servicex_layer.errors import WaitTimeoutError

__all__ = ["wait_for_file_count"]


async def wait_for_file_count(rest: RestClient, request_id: str) -> TransformStatus:
    """Poll a request until its number of files is final.

    Raises
    ------
    WaitTimeoutError
        If that takes longer than the setting ``servicex-layer.timeout``.
    BackendError
        If the backend can't be asked.
    """
    timeout = seconds("timeout")
    try:
        async with asyncio.timeout(timeout), rest.connected():
            status = await rest.status(request_id)
            while not status.file_count_final:
                await asyncio.sleep(seconds("poll-interval") or 0.0)
                status = await rest.status(request_id)
    except TimeoutError:
        raise WaitTimeoutError(
            f"Request {request_id}: the lookup of its dataset took longer than {timeout} s "
            "(setting servicex-layer.timeout)."
        ) from None
    return status
