"""A process that runs queries, one at a time.

A process of its own, started by name: it shares no interpreter, no ``__main__`` module and no
terminal with the server's, can be killed at any moment, and ends by itself when the server's
process is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from pathlib import Path
from typing import NamedTuple, cast

from servicex_layer.local._jobs import Done, Failed, Job, Outcome


class Worker:
    """The server's end of a worker process, which is started with the first job.

    To be used by one task of one event loop.
    """

    def __init__(self) -> None:
        self._process: _Process | None = None

    async def run(self, job: Job) -> Outcome:
        """Run a job; a process that dies of it is a failure of this job, and is replaced."""
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
            await self.kill()  # its answer would be taken for the next job's
            raise
        if not answer.endswith(b"\n"):
            await self.kill()
            return Failed(f"the transforming process died (status {handle.returncode})")
        return _outcome_from_json(answer)

    async def kill(self) -> None:
        """End the process, whatever it does."""
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


def environment() -> dict[str, str]:
    """Give a process its environment: what can be imported here can be imported there."""
    # however sys.path came about
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    return {**os.environ, "PYTHONPATH": path}


async def _start_process() -> _Process:
    handle = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        __name__,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=environment(),
        start_new_session=True,  # Ctrl-C is for the server
    )
    jobs = cast("asyncio.StreamWriter", handle.stdin)
    answers = cast("asyncio.StreamReader", handle.stdout)
    return _Process(handle, jobs, answers)


def _outcome_from_json(text: bytes) -> Outcome:
    fields = json.loads(text)
    return Failed(fields["reason"]) if "reason" in fields else Done(**fields)


def _main() -> None:
    # only the process itself needs Uproot
    from servicex_layer.uproot_raw import run_query

    # anything that a library prints must not get between the answers
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for line in sys.stdin:
        job = Job.from_json(line)
        try:
            events, size = run_query(job.input, job.selection, job.output, job.result_format)
        except Exception as error:  # noqa: BLE001 - is the answer, whatever it is
            answer: dict[str, object] = {"reason": f"{type(error).__name__}: {error}"[:2000]}
        else:
            answer = {"events": events, "bytes": size}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    _main()
