"""What the tasks of an `SXFileLayer` do: wait for the file with a number."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from distributed import Worker

from servicex_layer._model import NoFile, ResultFile
from servicex_layer.feed import feed, this_worker, wait, wait_seceded, worker_loop

__all__ = ["AwaitFile"]


class AwaitFile:
    """Waits for the file with a number.

    In the event loop of a Dask worker it is a coroutine that keeps no thread; elsewhere it is
    a function that blocks.

    Parameters
    ----------
    name : str
        Name of the layer whose tasks call this.
    request_id : str
        The request.
    backend : str or None
        The backend's name in ``servicex.yaml``; ``None`` for the default.
    npartitions : int
        How many files are asked for in all.
    max_failed : float
        The fraction of the request's files that may fail.
    """

    # distributed.utils.iscoroutinefunction: a worker then calls this in its event loop.
    __tornado_coroutine__ = True

    def __init__(
        self, name: str, request_id: str, backend: str | None, npartitions: int, max_failed: float
    ) -> None:
        self.name = name
        self.request_id = request_id
        self.backend = backend
        self.npartitions = npartitions
        self.max_failed = max_failed

    def __call__(self, number: int) -> Any:
        """Give the `ResultFile`, `NoFile` where there are fewer files; or a coroutine of it."""
        found = feed(self.request_id, self.backend)
        wanted = number, self.npartitions, self.max_failed
        key = (self.name, number)
        worker = this_worker()
        if worker is not None and _in_loop_of(worker):
            waiting = found.submit(_timed(found.get(*wanted)))
            return wait_seceded(worker, key, asyncio.wrap_future(waiting))
        file = found.get_nowait(*wanted)
        return wait(key, found.submit(_timed(found.get(*wanted)))) if file is None else file

    def __dask_tokenize__(self) -> tuple[object, ...]:
        """Tell what makes two of these the same."""
        return "AwaitFile", self.name


async def _timed(coming: Coroutine[Any, Any, ResultFile | NoFile]) -> ResultFile | NoFile:
    started = time.monotonic()
    file = await coming
    return replace(file, waited=time.monotonic() - started)


def _in_loop_of(worker: Worker) -> bool:
    try:
        return asyncio.get_running_loop() is worker_loop(worker)
    except RuntimeError:
        return False
