"""Looks requests up and transforms their files, a few at a time."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from servicex_layer.errors import BackendError
from servicex_layer.local._book import Book, Request, Row
from servicex_layer.local._clock import Clock
from servicex_layer.local._faults import Fate, Faults
from servicex_layer.local._jobs import Done, Failed, Job, Outcome
from servicex_layer.local._s3 import S3
from servicex_layer.local._worker import Worker

_LOG = logging.getLogger(__name__)


class Transformer:
    """Feeds the files of all requests, in the order of their lookup, to a number of slots.

    Each slot has a worker process. Belongs to one event loop.

    Parameters
    ----------
    directory
        Where the result files go.
    parallelism
        The number of slots.
    delay
        Seconds that each file takes in its slot, at least; give or take a tenth.
    lookup_time
        Seconds that the lookup of a request takes.
    store
        Where results are put, if not only into the directory.
    uploads_late
        Whether they are put there after they were reported.
    """

    def __init__(
        self,
        book: Book,
        clock: Clock,
        directory: Path,
        *,
        parallelism: int,
        delay: float,
        lookup_time: float,
        faults: Faults,
        seed: int,
        store: S3 | None = None,
        uploads_late: bool = False,
    ) -> None:
        self._book = book
        self._clock = clock
        self._directory = directory
        self._parallelism = parallelism
        self._delay = delay
        self._lookup_time = lookup_time
        self._faults = faults
        self._seed = seed
        self._store = store
        self._uploads_late = uploads_late
        self._uploads: asyncio.TaskGroup
        self._requests: asyncio.Queue[Request] = asyncio.Queue()
        self._files: asyncio.Queue[tuple[Request, int]] = asyncio.Queue()
        self._active: dict[asyncio.Timeout, Request] = {}

    def take(self, request: Request) -> None:
        """Start with a new request. To be called in the event loop."""
        self._requests.put_nowait(request)

    def drop(self, request: Request) -> None:
        """Free the slots of a request that is over. To be called in the event loop."""
        for scope, active in self._active.items():
            if active is request:
                scope.reschedule(asyncio.get_running_loop().time())

    async def run(self) -> None:
        """Work until canceled; no process is left then."""
        async with asyncio.TaskGroup() as group:
            self._uploads = group
            for _ in range(self._parallelism):
                group.create_task(self._run_slot())
            while True:
                request = await self._requests.get()
                group.create_task(self._look_up(request))

    async def _look_up(self, request: Request) -> None:
        did = request.submission.did
        self._book.advance(request, "Pending Lookup")
        await asyncio.sleep(0)
        self._book.advance(request, "Lookup")
        await asyncio.sleep(0)
        if did is not None:
            await asyncio.sleep(self._lookup_time)
            self._book.fail(request, "Bad Dataset", f"the embedded ServiceX knows no dataset {did}")
            return
        loop = asyncio.get_running_loop()
        started = loop.time()
        files = len(request.objects)
        step = self._lookup_time / max(files, 1)
        found = 0
        while found < files and not request.over:
            await asyncio.sleep(started + (found + 1) * step - loop.time())
            due = int((loop.time() - started) / step) if step else files
            until = min(max(due, found + 1), files)
            self._book.found(request, until - found)
            for index in range(found, until):
                self._files.put_nowait((request, index))
            found = until
        self._book.looked_up(request)

    async def _run_slot(self) -> None:
        worker = Worker()
        try:
            while True:
                request, index = await self._files.get()
                fate = self._faults.fate(self._seed, request.number, index)
                if request.over or fate.never_ends:
                    continue
                try:
                    async with asyncio.timeout(None) as scope:
                        self._active[scope] = request
                        try:
                            await self._transform(worker, request, index, fate)
                        finally:
                            del self._active[scope]
                except TimeoutError:
                    _LOG.info("request %s was dropped", request.id)
                except (OSError, BackendError) as error:
                    _LOG.exception("request %s cannot be transformed", request.id)
                    self._book.fail(request, "Fatal", f"cannot transform: {error}")
        finally:
            await worker.kill()

    async def _transform(self, worker: Worker, request: Request, index: int, fate: Fate) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        path = self._directory / f"{request.id}-{index}"
        asked = request.submission
        outcome: Outcome
        kept = False
        try:
            if fate.fails:
                outcome = Failed("made to fail")
            else:
                job = Job(asked.inputs[index], asked.selection, str(path), asked.result_format)
                outcome = await worker.run(job)
            await asyncio.sleep(started + self._delay * fate.jitter - loop.time())
            if self._store is not None and not self._uploads_late and isinstance(outcome, Done):
                await asyncio.to_thread(self._store.put, request.id, request.objects[index], path)
            wanted = self._book.ended(request, index, outcome, loop.time() - started, path)
            kept = wanted and isinstance(outcome, Done)
        finally:
            if not kept:
                path.unlink(missing_ok=True)
        if isinstance(outcome, Failed):
            _LOG.info("%s of request %s: %s", asked.inputs[index], request.id, outcome.reason)
        if wanted and not asked.manual:
            self._report(request, index, fate)

    def _report(self, request: Request, index: int, fate: Fate) -> None:
        created_at = self._clock.now()
        if self._faults.whole_seconds:
            created_at = created_at.replace(microsecond=0)
        row = self._book.draw(request, index, created_at)
        if fate.late_by:
            asyncio.get_running_loop().call_later(fate.late_by, self._publish, request, row)
        else:
            self._publish(request, row)

    def _publish(self, request: Request, row: Row) -> None:
        self._book.publish(request, [row])
        lag = self._faults.counter_lag
        if lag:
            asyncio.get_running_loop().call_later(lag, self._book.count, request, [row])
        else:
            self._book.count(request, [row])
        if self._uploads_late and isinstance(row.outcome, Done):
            self._uploads.create_task(self._upload(request, row.object))

    async def _upload(self, request: Request, name: str) -> None:
        await asyncio.sleep(self._faults.counter_lag + self._faults.upload_lag)
        path = self._book.result(request.id, name)
        if path is None or self._store is None:
            return
        try:
            await asyncio.to_thread(self._store.put, request.id, name, path)
        except BackendError:
            _LOG.exception("result %s of request %s is lost", name, request.id)
