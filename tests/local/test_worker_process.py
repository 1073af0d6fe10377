from __future__ import annotations

import asyncio
import os
import signal

from servicex_layer.local._job import Done, Failed, Job
from servicex_layer.local._worker_process import WorkerProcess


async def _run_three_jobs(source, directory):
    worker = WorkerProcess()
    try:
        job = Job(str(source), '[{"treename": "events"}]', str(directory / "out"), "root-file")
        before = await worker.run(job)
        assert worker.pid is not None
        os.kill(worker.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
        return before, await worker.run(job), await worker.run(job)
    finally:
        await worker.kill()


def test_a_dead_process_fails_its_job_only_and_is_replaced(source, tmp_path):
    before, during, after = asyncio.run(_run_three_jobs(source, tmp_path))
    assert isinstance(before, Done)
    assert isinstance(during, Failed)
    assert "died" in during.reason
    assert after == before


def test_an_input_that_cannot_be_read_is_a_failure_with_the_exception(tmp_path):
    async def run():
        worker = WorkerProcess()
        try:
            missing = str(tmp_path / "missing.root")
            return await worker.run(
                Job(missing, '[{"treename": "events"}]', str(tmp_path / "out"), "root-file")
            )
        finally:
            await worker.kill()

    outcome = asyncio.run(run())
    assert isinstance(outcome, Failed)
    assert "FileNotFoundError" in outcome.reason
    assert "missing.root" in outcome.reason
