"""A ServiceX in a process of its own, so that it takes no time from a scheduler in this one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import dask
from _spawn import SPAWN  # type: ignore[import-not-found]

from servicex_layer.local import LocalServiceX


class ServiceProcess:
    """A client of a `LocalServiceX` in another process."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def submit(self, paths: Sequence[Path], **options: Any) -> str:
        """Submit files with a tree `events`; options are those of `LocalServiceX.submit`."""
        request_id: str = self._call(_submit, paths, options)
        return request_id

    def release(self, request_id: str, *indices: int) -> float:
        """Let files finish, and return the time (Unix seconds) at which they had."""
        finished: float = self._call(_release, request_id, indices)
        return finished

    def release_evenly(self, request_id: str, indices: Sequence[int], seconds: float) -> float:
        """Start to let files finish one by one over a time, and return when that began."""
        start: float = self._call(_release_evenly, request_id, indices, seconds)
        return start

    def wait_until_transformed(self, request_id: str, files: int) -> None:
        """Wait until the transformers have written all files of a manual request."""
        self._call(_wait_until_transformed, request_id, files)

    def take_traffic(self) -> tuple[dict[str, int], int]:
        """Return the calls by route and the rows sent since the last time."""
        traffic: tuple[dict[str, int], int] = self._call(_take_traffic)
        return traffic

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        self._pipe.send((function, arguments))
        answer = self._pipe.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer


@contextmanager
def service_process(**options: Any) -> Iterator[ServiceProcess]:
    """Run a `LocalServiceX` with these options, and configure this process to use it."""
    pipe, remote_pipe = SPAWN.Pipe()
    process = SPAWN.Process(target=_serve, args=(remote_pipe, options))
    process.start()
    remote_pipe.close()
    try:
        with dask.config.set({"servicex-layer.config-path": pipe.recv()}):
            yield ServiceProcess(pipe)
    finally:
        pipe.close()
        process.join()


def _serve(pipe: Connection, options: dict[str, Any]) -> None:
    with LocalServiceX(**options) as service:
        pipe.send(str(service.servicex_yaml))
        while True:
            try:
                function, arguments = pipe.recv()
            except EOFError:
                return
            answer: Any
            try:
                answer = function(service, *arguments)
            except Exception as error:  # noqa: BLE001  (the caller raises it)
                answer = error
            pipe.send(answer)


def _submit(service: LocalServiceX, paths: Sequence[Path], options: dict[str, Any]) -> str:
    return service.submit(paths, tree="events", **options)


def _release(service: LocalServiceX, request_id: str, indices: Sequence[int]) -> float:
    service.release(request_id, *indices)
    return time.time()


def _release_evenly(
    service: LocalServiceX, request_id: str, indices: Sequence[int], seconds: float
) -> float:
    start = time.time()

    def release() -> None:
        for count, index in enumerate(indices, 1):
            time.sleep(max(start + seconds * count / len(indices) - time.time(), 0.0))
            service.release(request_id, index)

    threading.Thread(target=release, daemon=True).start()
    return start


def _wait_until_transformed(service: LocalServiceX, request_id: str, files: int) -> None:
    directory = service.servicex_yaml.parent
    while sum(1 for _ in directory.glob(f"results-*/{request_id}-*")) < files:
        time.sleep(0.5)


def _take_traffic(service: LocalServiceX) -> tuple[dict[str, int], int]:
    traffic = service.traffic
    taken = dict(traffic.calls), traffic.rows
    traffic.reset()
    return taken
