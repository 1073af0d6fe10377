"""A process that runs queries, one at a time.

It is started by name, so it shares no interpreter, ``__main__`` module or terminal with the
server's process. It can be killed at any moment, and it ends when the server's process does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from typing import NamedTuple, cast

from servicex_layer.local._child_process import environment, without_ctrl_c
from servicex_layer.local._job import Done, Failed, Job, Outcome


class WorkerProcess:
    """The server's end of a worker process, which starts with the first job.

    Use it from one task of one event loop.
    """

    def __init__(self) -> None:
        self._process: _Process | None = None

    @property
    def pid(self) -> int | None:
        """The id of the process, None if none runs."""
        return None if self._process is None else self._process.handle.pid

    async def run(self, job: Job) -> Outcome:
        """Run a job. If the process dies, this job fails, and the next one gets a new process."""
        if self._process is None:
            self._process = await _start_process()
        handle, jobs, answers = self._process
        try:
            jobs.write(job.to_json().encode() + b"\n")
            await jobs.drain()
            answer = await answers.readline()
        except ConnectionError:
            answer = b""
        except asyncio.CancelledError:
            await self.kill()  # or the next job would get this job's answer
            raise
        if not answer.endswith(b"\n"):
            await self.kill()
            return Failed(f"the transforming process died (status {handle.returncode})")
        return _outcome_from_json(answer)

    async def kill(self) -> None:
        """Kill the process, whatever it does."""
        if self._process is None:
            return
        (handle, jobs, _), self._process = self._process, None
        with contextlib.suppress(ProcessLookupError):
            handle.kill()
        await handle.wait()
        jobs.close()


class _Process(NamedTuple):
    handle: asyncio.subprocess.Process
    jobs: asyncio.StreamWriter
    answers: asyncio.StreamReader


async def _start_process() -> _Process:
    handle = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        __name__,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=environment(),
        **without_ctrl_c(),  # it is for the server only
    )
    jobs = cast("asyncio.StreamWriter", handle.stdin)
    answers = cast("asyncio.StreamReader", handle.stdout)
    return _Process(handle, jobs, answers)


def _outcome_from_json(text: bytes) -> Outcome:
    fields = json.loads(text)
    return Failed(fields["reason"]) if "reason" in fields else Done(**fields)


def _main() -> None:
    # here, so that the server doesn't import Uproot
    from servicex_layer.uproot_raw import run_query

    # keep what libraries print out of the answers
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for line in sys.stdin:
        job = Job.from_json(line)
        try:
            events, size = run_query(job.input, job.selection, job.output, job.result_format)
        except Exception as error:  # noqa: BLE001 - any error is the outcome of the job
            answer: dict[str, object] = {"reason": f"{type(error).__name__}: {error}"[:2000]}
        else:
            answer = {"events": events, "bytes": size}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    _main()
