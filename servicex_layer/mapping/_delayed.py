"""The graph: files, one task for each, a tree of reductions, and the result."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import dask.base
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer
from dask.typing import Key

from servicex_layer._config import find_backend, seconds
from servicex_layer._model import Backend, TransformStatus
from servicex_layer.backend import RestClient
from servicex_layer.errors import InvalidArgumentError
from servicex_layer.feed import active_client, error_for_status, loop_thread, register
from servicex_layer.graph import SXFileLayer, call_with_results, wait_for_file_count
from servicex_layer.mapping._file_task import FileTask
from servicex_layer.mapping._layers import CallLayer, ReductionLayer
from servicex_layer.mapping._partial import Finish

__all__ = ["Graph", "prepare_backend", "requests_by_sample", "require_integer", "statuses_of"]


class Graph:
    """A graph over the files of requests.

    Parameters
    ----------
    token : str
        Stands for what is called with each file.
    split_every : int
        Number of results that one task reduces.

    Raises
    ------
    InvalidArgumentError
        If `split_every` is too small.
    """

    def __init__(self, token: str, *, split_every: int = 8) -> None:
        require_integer("split_every", split_every, least=2)
        self._token = token
        self._split_every = split_every
        self._layers: dict[str, Any] = {}
        self._dependencies: dict[str, set[str]] = {}

    def add_request(self, files: SXFileLayer, task: FileTask, finish: Finish, sample: str) -> str:
        """Add a request, of a sample if it has a name; returns the key of its result."""
        token = dask.base.tokenize(
            self._token, files.name, task.metadata, task.merge, task.report, finish.postprocess
        )
        token += f"-{self._split_every}-{files.files_per_partition}"
        calls = CallLayer(f"servicex-map-{token}", task, files, sample)
        self._add(files)
        self._add(calls, files.name)
        last: str = calls.name
        root: Key = (calls.name, 0)
        if len(calls) > 1:
            reduction = ReductionLayer(
                f"servicex-reduce-{token}", task.merge, calls, self._split_every
            )
            self._add(reduction, calls.name)
            last, root = reduction.name, reduction.root
        name = f"servicex-result-{token}"
        result = call_with_results(name, finish, [root])
        self._add(MaterializedLayer({name: result}), last, name=name)
        return name

    def add_task(self, name: str, call: Callable[..., Any], *inputs: str) -> str:
        """Add a task that takes the results of others with these keys; returns its key."""
        task = call_with_results(name, call, inputs)
        self._add(MaterializedLayer({name: task}), *inputs, name=name)
        return name

    def delayed(self, key: str) -> Delayed:
        """Return the value of a task as a delayed one."""
        graph = HighLevelGraph(self._layers, self._dependencies)
        return Delayed(key, graph, layer=key)  # type: ignore[no-untyped-call]

    def _add(self, layer: Any, *depends_on: str, name: str | None = None) -> None:
        name = name or layer.name
        self._layers[name] = layer
        self._dependencies[name] = set(depends_on)


def require_integer(name: str, value: object, *, least: int) -> None:
    """Check that an argument is an integer that is large enough.

    Raises
    ------
    InvalidArgumentError
        If it isn't.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InvalidArgumentError(f"{name}={value!r} must be an integer of at least {least}.")


def requests_by_sample(request: object) -> Mapping[str, str]:
    """Return the ids of requests by the names of their samples; one request has the name "".

    Raises
    ------
    InvalidArgumentError
        If `request` is neither an id nor a mapping of names to ids.
    """
    if isinstance(request, str):
        return {"": request}
    if not isinstance(request, Mapping) or not request:
        raise InvalidArgumentError(
            f"request={request!r} is neither the id of a request nor a mapping from samples to ids."
        )
    for sample, request_id in request.items():
        if not isinstance(sample, str) or not sample:
            raise InvalidArgumentError(
                f"The name {sample!r} of a sample must be a non-empty string."
            )
        if not isinstance(request_id, str) or not request_id:
            raise InvalidArgumentError(
                f"Sample {sample!r}: {request_id!r} is not a valid request id. ServiceX gives one "
                "like 'b5901cca-9858-42e7-a093-0929cf391f0e'."
            )
    return request


def prepare_backend(backend: str | None) -> Backend:
    """Find a backend, and register the active client's cluster for it."""
    chosen = find_backend(backend)
    client = active_client()
    if client is not None and not client.asynchronous:
        register(client, chosen.name)
    return chosen


def statuses_of(backend: Backend, request_ids: list[str]) -> list[TransformStatus]:
    """Wait until the number of files of each request is known.

    Raises
    ------
    BackendError
        If the backend can't be reached, or doesn't know a request.
    RequestError
        If a request ended without any result.
    """

    async def all_of_them() -> list[TransformStatus]:
        clients = [
            RestClient(backend, seconds("retry-timeout") or 0.0, seconds("timeout"))
            for _ in request_ids
        ]
        return await asyncio.gather(*map(wait_for_file_count, clients, request_ids))

    statuses = loop_thread().run(all_of_them())
    for status in statuses:
        if status.is_terminal and status.status != "Complete" and not status.completed:
            raise error_for_status(status)
    return statuses
