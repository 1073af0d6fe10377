"""The task of an `SXFileLayer`: wait for the files of a partition."""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from distributed import Worker

from servicex_layer._model import FileGroup, NoFile, ResultFile
from servicex_layer.feed import (
    Feed,
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
    """Wait for the file of a partition, or for its files.

    In the event loop of a Dask worker this is a coroutine, which holds no thread. Elsewhere it is a
    function that blocks.

    Parameters
    ----------
    name : str
        Name of the layer whose tasks call this.
    request : RequestRef
        The request.
    file_count : int
        The number of files of all partitions.
    max_failed : float
        The fraction of the request's files that may fail, from 0 to 1.
    files_per_partition : int
        The number of files of a partition; the last partition may have fewer.
    """

    # distributed.utils.iscoroutinefunction looks for this (it is private, and may look elsewhere
    # one day): a worker then calls the object in its event loop, not in a thread.
    __tornado_coroutine__ = True

    def __init__(
        self,
        name: str,
        request: RequestRef,
        file_count: int,
        max_failed: float,
        files_per_partition: int = 1,
    ) -> None:
        self.name = name
        self.request = request
        self.file_count = file_count
        self.max_failed = max_failed
        self.files_per_partition = files_per_partition

    def __call__(self, partition: int, after: object = None) -> Any:
        """Return the file or files of a partition, or a coroutine of them.

        This is a `ResultFile`, or a `NoFile` if there are fewer files. If partitions hold several
        files, it is a `FileGroup` of them.

        Parameters
        ----------
        partition : int
            The number of the partition, from 0.
        after : object
            The result of the task that this one is bound to; ignored.

        Raises
        ------
        RequestError
            If a file will not come, or the request has more files than the array has room for.
        BackendError
            If the backend can't be asked.
        """
        del after
        request_feed = feed(self.request)
        worker = this_worker()
        if worker is not None and _runs_in_loop_of(worker):
            pending = request_feed.submit(self._get(request_feed, partition))
            return wait_seceded(worker, (self.name, partition), asyncio.wrap_future(pending))
        known = self._get_nowait(request_feed, partition)
        if known is not None:
            return known
        waiting = request_feed.submit(self._get(request_feed, partition))
        return wait(waiting) if worker is None else wait_in_worker_thread(worker, waiting)

    def numbers(self, partition: int) -> range:
        """Return the numbers of the files of a partition."""
        start = partition * self.files_per_partition
        return range(start, min(start + self.files_per_partition, self.file_count))

    def renamed(self, name: str) -> AwaitFile:
        """Return a copy for a layer of another name."""
        renamed = copy.copy(self)
        renamed.name = name
        return renamed

    async def _get(self, request_feed: Feed, partition: int) -> ResultFile | NoFile | FileGroup:
        if self.files_per_partition == 1:
            return await _timed(request_feed.get(*self._question(partition)))
        files = []
        for number in self.numbers(partition):
            question = self._question(number)
            # The answer for one finished file may have brought those for its neighbours.
            file = request_feed.get_nowait(*question)
            files.append(file or await _timed(request_feed.get(*question)))
        return FileGroup(partition, tuple(files))

    def _get_nowait(
        self, request_feed: Feed, partition: int
    ) -> ResultFile | NoFile | FileGroup | None:
        if self.files_per_partition == 1:
            return request_feed.get_nowait(*self._question(partition))
        files = []
        for number in self.numbers(partition):
            file = request_feed.get_nowait(*self._question(number))
            if file is None:
                return None
            files.append(file)
        return FileGroup(partition, tuple(files))

    def _question(self, number: int) -> tuple[int, int, float]:
        return number, self.file_count, self.max_failed

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
