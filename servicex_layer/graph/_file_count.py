"""Waiting until ServiceX knows how many files a request has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from servicex_layer._config import seconds
from servicex_layer._model import Backend, TransformStatus
from servicex_layer.backend import RestClient
from servicex_layer.errors import WaitTimeoutError
from servicex_layer.feed import loop_thread
from servicex_layer.graph._waiting_note import result_with_note

__all__ = ["status_with_file_count", "wait_for_file_count"]


def status_with_file_count(
    backend: Backend, request_id: str, *, quiet: float = 3.0
) -> TransformStatus:
    """Wait until the number of files of a request is final; say so if that takes long.

    Parameters
    ----------
    backend : Backend
        The backend.
    request_id : str
        The request.
    quiet : float
        Seconds before the standard error says what is awaited.

    Raises
    ------
    WaitTimeoutError, BackendError
        As in `wait_for_file_count`.
    """
    rest = RestClient(backend, seconds("retry-timeout") or 0.0, seconds("timeout"))
    answers: list[TransformStatus] = []

    def message(waited: float) -> str:
        if answers:
            return (
                f"Request {request_id}: waiting for the lookup of its dataset ({waited:.0f} s; "
                f"{answers[-1]})."
            )
        return (
            f"Request {request_id}: the backend {backend.name} at {backend.url} has not answered "
            f"yet ({waited:.0f} s). Trying again."
        )

    pending = loop_thread().submit(wait_for_file_count(rest, request_id, answers.append))
    return result_with_note(pending, message, quiet=quiet)


async def wait_for_file_count(
    rest: RestClient,
    request_id: str,
    on_status: Callable[[TransformStatus], object] | None = None,
) -> TransformStatus:
    """Poll a request until its number of files is final.

    Parameters
    ----------
    rest : RestClient
        The backend.
    request_id : str
        The request.
    on_status : callable, optional
        Called with each status.

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
            while True:
                status = await rest.status(request_id)
                if on_status is not None:
                    on_status(status)
                if status.file_count_final:
                    return status
                await asyncio.sleep(seconds("poll-interval") or 0.0)
    except TimeoutError:
        raise WaitTimeoutError(
            f"Request {request_id}: the lookup of its dataset took longer than {timeout} s "
            "(setting servicex-layer.timeout)."
        ) from None
