"""The requests behind lazy arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dask.blockwise import Blockwise
from dask.core import flatten
from dask.highlevelgraph import HighLevelGraph

from servicex_layer._config import find_backend
from servicex_layer.errors import InvalidArgumentError
from servicex_layer.graph import SXFileLayer, UprootLoadLayer
from servicex_layer.mapping import CallLayer

__all__ = ["RequestSelection", "requests_of", "selections_of"]


@dataclass(frozen=True, slots=True)
class RequestSelection:
    """A request, and how many of its files are needed.

    Parameters
    ----------
    name : str
        The name to show.
    request_id : str
        The request.
    backend : str or None
        The backend's name in ``servicex.yaml``; ``None`` for the default.
    partitions : int or None
        The number of partitions needed; ``None`` for one per file.
    """

    name: str
    request_id: str
    backend: str | None
    partitions: int | None


def requests_of(arrays_or_requests: Iterable[Any]) -> list[RequestSelection]:
    """Return the requests behind arrays, each once.

    Parameters
    ----------
    arrays_or_requests : iterable
        Lazy arrays, results of `map_files`, other Dask collections made of them, ids of requests of
        the default backend, and mappings from names to these, such as the result of `deliver`.

    Raises
    ------
    InvalidArgumentError
        If an argument is none of these, or has no request behind it.
    """
    selections: dict[tuple[str, str | None], RequestSelection] = {}
    for selection in selections_of(arrays_or_requests):
        key = selection.request_id, selection.backend
        known = selections.get(key)
        # Arrays of one request may share partitions: the larger selection is a lower bound.
        if known is None or (known.partitions or 0) < (selection.partitions or 0):
            selections[key] = selection
    return list(selections.values())


def selections_of(
    arrays_or_requests: Iterable[Any], backend: str | None = None
) -> list[RequestSelection]:
    """Return the requests behind each argument; a request of several has an entry for each.

    Parameters
    ----------
    arrays_or_requests : iterable
        As in `requests_of`.
    backend : str, optional
        The backend of ids; by default the default backend.

    Raises
    ------
    InvalidArgumentError
        If an argument is none of these, or has no request behind it.
    """
    selections = list(_selections(arrays_or_requests, "", backend))
    if not selections:
        raise InvalidArgumentError(
            "The arguments have no request. Pass arrays of from_servicex, or ids of requests."
        )
    return selections


def _selections(
    arrays_or_requests: Iterable[Any], name: str, backend: str | None
) -> Iterator[RequestSelection]:
    for each in arrays_or_requests:
        if isinstance(each, Mapping):
            for key, value in each.items():
                yield from _selections([value], str(key), backend)
        elif isinstance(each, tuple | list):
            # an array with its report
            yield from _selections(each, name, backend)
        elif isinstance(each, str) and each:
            yield RequestSelection(name or each, each, find_backend(backend).name, None)
        else:
            yield from _selections_of_collection(each, name)


def _selections_of_collection(collection: Any, name: str) -> Iterator[RequestSelection]:
    graph: Any = collection.__dask_graph__() if hasattr(collection, "__dask_graph__") else None
    layers = graph.layers.values() if isinstance(graph, HighLevelGraph) else ()
    load_layers = [layer for layer in layers if isinstance(layer, UprootLoadLayer)]
    call_layers = [layer for layer in layers if isinstance(layer, CallLayer)]
    if not load_layers and not call_layers:
        raise InvalidArgumentError(
            f"{collection!r} has no ServiceX request behind it. Pass arrays of from_servicex, what "
            "map_files returns, or collections made of these, before Dask has optimized them, or "
            "ids of requests."
        )
    keys = set(flatten(collection.__dask_keys__()))  # type: ignore[no-untyped-call]
    # Culling renames layers since Dask 2025.4.1. Blockwise layers keep the name of their output.
    culled = graph.cull(keys).layers.values()
    needed = {layer.output: layer for layer in culled if isinstance(layer, Blockwise)}
    for layer in load_layers:
        files = layer.files
        yield RequestSelection(
            name or files.request_id,
            files.request_id,
            files.backend,
            files.count_files(needed[layer.name].get_output_keys()),  # type: ignore[no-untyped-call]
        )
    samples = {layer.files: layer.sample for layer in call_layers}
    for layer in culled:
        if isinstance(layer, SXFileLayer) and layer.name in samples:
            yield RequestSelection(
                samples[layer.name] or name or layer.request_id,
                layer.request_id,
                layer.backend,
                layer.count_files(layer),
            )
