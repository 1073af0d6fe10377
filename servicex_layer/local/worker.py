"""A process that runs queries, one at a time.

A process of its own, started by name: it shares no interpreter, no ``__main__`` module and no
terminal with the server's, can be killed at any moment, and ends by itself when the server's
process is gone.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

from servicex_layer.local.jobs import Done, Failed, Job, Outcome


class Worker:
    """The server's end of a worker process, which is started with the first job.

    To be used by one task of one event loop.
    """

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None

    async def run(self, job: Job) -> Outcome:
        """Run a job; a process that dies of it is a failure of this job, and is replaced."""
        if self._process is None:
            self._process = await _start_process()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(job.to_json().encode() + b"\n")
            await self._process.stdin.drain()
            answer = await self._process.stdout.readline()
        except ConnectionError:
            answer = b""
        if not answer.endswith(b"\n"):
            status = await self._process.wait()
            self._process = None
            return Failed(f"the transforming process died with the exit status {status}")
        return _outcome_from_json(answer)

    async def kill(self) -> None:
        """End the process, whatever it does."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.kill()
        await process.wait()
        assert process.stdin is not None
        process.stdin.close()


async def _start_process() -> asyncio.subprocess.Process:
    # PYTHONPATH: what can be imported here can be imported there, however sys.path came about
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        __name__,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
        start_new_session=True,  # Ctrl-C is for the server
    )


def _outcome_from_json(text: bytes) -> Outcome:
    fields = json.loads(text)
    return Failed(fields["reason"]) if "reason" in fields else Done(**fields)


def _main() -> None:
    from servicex_layer.local.transform import run_query

    # anything that a library prints must not get between the answers
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for line in sys.stdin:
        job = Job.from_json(line)
        try:
            events, size = run_query(job.input, job.selection, job.output, job.result_format)
        except Exception as error:
            answer: dict[str, object] = {"reason": f"{type(error).__name__}: {error}"[:2000]}
        else:
            answer = {"events": events, "bytes": size}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    _main()
