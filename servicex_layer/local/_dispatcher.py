"""Looks requests up and hands their files to worker processes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path

from servicex_layer.errors import BackendError
from servicex_layer.local._clock import Clock
from servicex_layer.local._database import Database
from servicex_layer.local._faults import Faults, FileFate
from servicex_layer.local._job import Done, Failed, Job, Outcome
from servicex_layer.local._request import ResultRow, TransformRequest
from servicex_layer.local._result_files import discard, replace
from servicex_layer.local._s3 import S3
from servicex_layer.local._worker_process import WorkerProcess

_LOG = logging.getLogger(__name__)


class Dispatcher:
    """Hands the files of all requests, in the order of their lookup, to a number of slots.

    Each slot has a worker process. Not thread-safe: belongs to one event loop.

    Parameters
    ----------
    database
        Holds the requests, and takes what happens to them.
    clock
        The server's clock.
    directory
        The directory of the result files.
    parallelism
        The number of slots.
    delay
        The least time that a file takes in its slot, in seconds, give or take a tenth.
    lookup_time
        Seconds that the lookup of a request takes.
    faults
        Faults of rows and files.
    seed
        Seed of the faults.
    store
        The S3 store to which results are uploaded, if any.
    uploads_late
        Whether results are uploaded only after they are reported.
    """

    def __init__(
        self,
        database: Database,
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
        self._database = database
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
        self._requests: asyncio.Queue[TransformRequest] = asyncio.Queue()
        self._files: asyncio.Queue[tuple[TransformRequest, int]] = asyncio.Queue()
        self._delays: dict[asyncio.Timeout, TransformRequest] = {}

    def take(self, request: TransformRequest) -> None:
        """Start a new request."""
        self._requests.put_nowait(request)

    def drop(self, request: TransformRequest) -> None:
        """End the delays of a canceled request: its files in flight are reported now."""
        for scope, delayed in self._delays.items():
            if delayed is request:
                scope.reschedule(asyncio.get_running_loop().time())

    async def run(self) -> None:
        """Work until canceled, and leave no process behind."""
        async with asyncio.TaskGroup() as group:
            self._uploads = group
            for _ in range(self._parallelism):
                group.create_task(self._run_slot())
            while True:
                request = await self._requests.get()
                group.create_task(self._look_up(request))

    async def _look_up(self, request: TransformRequest) -> None:
        did = request.submission.did
        self._database.advance(request, "Pending Lookup")
        await asyncio.sleep(0)
        self._database.advance(request, "Lookup")
        await asyncio.sleep(0)
        if did is not None:
            await asyncio.sleep(self._lookup_time)
            self._database.fail(
                request, "Bad Dataset", f"the embedded ServiceX knows no dataset {did}"
            )
            return
        loop = asyncio.get_running_loop()
        started = loop.time()
        files = len(request.objects)
        if self._faults.complete_after is not None:
            files = min(files, self._faults.complete_after)
        step = self._lookup_time / max(files, 1)
        done = 0
        while done < files and not request.is_terminal:
            await asyncio.sleep(started + (done + 1) * step - loop.time())
            due = int((loop.time() - started) / step) if step else files
            until = min(max(due, done + 1), files)
            self._database.add_files(request, until - done)
            for index in range(done, until):
                self._files.put_nowait((request, index))
            done = until
        if not request.is_terminal:
            self._database.end_lookup(request, left_out=len(request.objects) - files)

    async def _run_slot(self) -> None:
        worker = WorkerProcess()
        try:
            while True:
                request, index = await self._files.get()
                fate = self._faults.fate(self._seed, request.number, index)
                if request.is_terminal or fate.never_ends:
                    continue
                try:
                    await self._transform(worker, request, index, fate)
                except (OSError, BackendError) as error:
                    _LOG.exception("request %s cannot be transformed", request.id)
                    self._database.fail(request, "Fatal", f"cannot transform: {error}")
        finally:
            await worker.kill()

    async def _transform(
        self, worker: WorkerProcess, request: TransformRequest, index: int, fate: FileFate
    ) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        path = self._directory / f"{request.id}-{index}"
        submission = request.submission
        keep = False
        try:
            outcome = await self._outcome(worker, request, index, path, fails=fate.fails)
            await self._wait(request, started + self._delay * fate.jitter - loop.time())
            if self._store is not None and not self._uploads_late and isinstance(outcome, Done):
                await asyncio.to_thread(self._store.put, request.id, request.objects[index], path)
            accepted = self._database.end_transformation(
                request, index, outcome, loop.time() - started, path
            )
            keep = accepted and isinstance(outcome, Done)
        finally:
            if not keep:
                discard(path)
        if isinstance(outcome, Failed):
            _LOG.info("%s of request %s: %s", submission.inputs[index], request.id, outcome.reason)
        if accepted and not submission.manual:
            self._report(request, index, fate)

    async def retransform(self, request: TransformRequest, index: int, *, success: bool) -> None:
        """Transform a reported file again, and update its row in place.

        Raises
        ------
        InvalidArgumentError
            If the file is not reported yet.
        BackendError
            If the store refuses the result.
        """
        self._database.require_row(request, index)
        loop = asyncio.get_running_loop()
        started = loop.time()
        path = self._directory / f"{request.id}-{index}"
        new_path = path.with_name(f"{path.name}-again")
        worker = WorkerProcess()
        try:
            outcome = await self._outcome(worker, request, index, new_path, fails=not success)
        finally:
            await worker.kill()
        if isinstance(outcome, Failed):
            discard(new_path)
        else:
            await asyncio.to_thread(replace, new_path, path)
            if self._store is not None:
                await asyncio.to_thread(self._store.put, request.id, request.objects[index], path)
        self._database.update_row(request, index, outcome, loop.time() - started, path)

    async def _outcome(
        self, worker: WorkerProcess, request: TransformRequest, index: int, path: Path, fails: bool
    ) -> Outcome:
        if fails and not self._faults.failed_uploads:
            return Failed("made to fail")
        submission = request.submission
        job = Job(
            submission.inputs[index], submission.selection, str(path), submission.result_format
        )
        outcome = await worker.run(job)
        if fails and isinstance(outcome, Done):
            discard(path)
            return Failed("the upload was made to fail", outcome.bytes)
        return outcome

    async def _wait(self, request: TransformRequest, seconds: float) -> None:
        if request.is_terminal:  # canceled before the delay began
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None) as scope:
                self._delays[scope] = request
                try:
                    await asyncio.sleep(seconds)
                finally:
                    del self._delays[scope]

    def _report(self, request: TransformRequest, index: int, fate: FileFate) -> None:
        created_at = self._clock.now()
        if self._faults.whole_seconds:
            created_at = created_at.replace(microsecond=0)
        row = self._database.make_row(request, index, created_at)
        if fate.late_by:
            asyncio.get_running_loop().call_later(fate.late_by, self._publish, request, row)
        else:
            self._publish(request, row)

    def _publish(self, request: TransformRequest, row: ResultRow) -> None:
        self._database.publish(request, [row])
        lag = self._faults.counter_lag
        if lag:
            asyncio.get_running_loop().call_later(lag, self._database.count, request, [row])
        else:
            self._database.count(request, [row])
        if self._uploads_late and isinstance(row.outcome, Done):
            self._uploads.create_task(self._upload(request, row.object))

    async def _upload(self, request: TransformRequest, name: str) -> None:
        await asyncio.sleep(self._faults.counter_lag + self._faults.upload_lag)
        path = self._database.result(request.id, name)
        if path is None or self._store is None:
            return
        try:
            await asyncio.to_thread(self._store.put, request.id, name, path)
        except BackendError:
            _LOG.exception("result %s of request %s is lost", name, request.id)
