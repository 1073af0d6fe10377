"""The task of an `SXFileLayer`: wait for the file with a number."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from distributed import Worker

from servicex_layer._model import NoFile, ResultFile
from servicex_layer.feed import (
    RequestRef,
    feed,
    this_worker,
    wait,
    wait_in_worker_thread,
    wait_seceded,
    worker_loop,
)

__all__ = ["AwaitFile"]


class AwaitFile:
    """Wait for the file with a number.

    In the event loop of a Dask worker this is a coroutine, which holds no thread. Elsewhere it is a
    function that blocks.

    Parameters
    ----------
    name : str
        Name of the layer whose tasks call this.
    request : RequestRef
        The request.
    npartitions : int
        The number of partitions of the array.
    max_failed : float
        The fraction of the request's files that may fail, from 0 to 1.
    """

    # distributed.utils.iscoroutinefunction looks for this (it is private, and may look elsewhere
    # one day): a worker then calls the object in its event loop, not in a thread.
    __tornado_coroutine__ = True

    def __init__(self, name: str, request: RequestRef, npartitions: int, max_failed: float) -> None:
        self.name = name
        self.request = request
        self.npartitions = npartitions
        self.max_failed = max_failed

    def __call__(self, number: int, after: object = None) -> Any:
        """Return the `ResultFile`, a `NoFile` if there are fewer files, or a coroutine of either.

        Parameters
        ----------
        number : int
            The number of the file, from 0.
        after : object
            The result of the task that this one is bound to; ignored.

        Raises
        ------
        RequestError
            If the file will not come, or the request has more files than the array has partitions.
        BackendError
            If the backend can't be asked.
        """
        del after
        request_feed = feed(self.request)
        question = number, self.npartitions, self.max_failed
        worker = this_worker()
        if worker is not None and _runs_in_loop_of(worker):
            pending = request_feed.submit(_timed(request_feed.get(*question)))
            return wait_seceded(worker, (self.name, number), asyncio.wrap_future(pending))
        file = request_feed.get_nowait(*question)
        if file is not None:
            return file
        waiting = request_feed.submit(_timed(request_feed.get(*question)))
        return wait(waiting) if worker is None else wait_in_worker_thread(worker, waiting)

    def renamed(self, name: str) -> AwaitFile:
        """Return a copy for a layer of another name."""
        return AwaitFile(name, self.request, self.npartitions, self.max_failed)

    def __dask_tokenize__(self) -> tuple[object, ...]:
        """Return what tells two of these apart."""
        return "AwaitFile", self.name


async def _timed(pending: Coroutine[Any, Any, ResultFile | NoFile]) -> ResultFile | NoFile:
    started = time.monotonic()
    file = await pending
    return replace(file, waited=time.monotonic() - started)


def _runs_in_loop_of(worker: Worker) -> bool:
    try:
        return asyncio.get_running_loop() is worker_loop(worker)
    except RuntimeError:
        return False
