"""The requests behind lazy arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dask.core import flatten
from dask.highlevelgraph import HighLevelGraph

from servicex_layer._config import find_backend
from servicex_layer.errors import InvalidArgumentError
from servicex_layer.graph import UprootLoadLayer

__all__ = ["RequestSelection", "requests_of"]


@dataclass(frozen=True, slots=True)
class RequestSelection:
    """What is wanted of a request.

    Parameters
    ----------
    name : str
        What to call it.
    request_id : str
        The request.
    backend : str or None
        The backend's name in ``servicex.yaml``; ``None`` for the default.
    partitions : int or None
        How many partitions are needed; ``None`` for one for each file.
    """

    name: str
    request_id: str
    backend: str | None
    partitions: int | None


def requests_of(things: Iterable[Any]) -> list[RequestSelection]:
    """Find the requests behind arrays.

    Parameters
    ----------
    things : iterable
        Lazy arrays and other Dask collections made of them, ids of requests of the default
        backend, and mappings from names to either, as `deliver` gives them.

    Raises
    ------
    InvalidArgumentError
        Where something is none of these, or there is no request behind it.
    """
    found: dict[tuple[str, str | None], RequestSelection] = {}
    for wanted in _all_of(things, ""):
        which = wanted.request_id, wanted.backend
        known = found.get(which)
        # Of two selections of the same partitions, the larger one; what they share is not known.
        if known is None or (known.partitions or 0) < (wanted.partitions or 0):
            found[which] = wanted
    if not found:
        raise InvalidArgumentError(
            "There is nothing to follow: give arrays of from_servicex, or the ids of requests."
        )
    return list(found.values())


def _all_of(things: Iterable[Any], name: str) -> Iterator[RequestSelection]:
    for thing in things:
        if isinstance(thing, Mapping):
            for key, value in thing.items():
                yield from _all_of([value], str(key))
        elif isinstance(thing, tuple | list):
            # an array with its report
            yield from _all_of(thing, name)
        elif isinstance(thing, str) and thing:
            yield RequestSelection(name or thing, thing, find_backend().name, None)
        else:
            yield from _behind(thing, name)


def _behind(thing: Any, name: str) -> Iterator[RequestSelection]:
    graph: Any = thing.__dask_graph__() if hasattr(thing, "__dask_graph__") else None
    layers = graph.layers.values() if isinstance(graph, HighLevelGraph) else ()
    loads = [layer for layer in layers if isinstance(layer, UprootLoadLayer)]
    if not loads:
        raise InvalidArgumentError(
            f"There is no ServiceX request behind {thing!r}. Give arrays of from_servicex or what "
            "is made of them, before Dask has optimized it, or the ids of requests."
        )
    keys = set(flatten(thing.__dask_keys__()))  # type: ignore[no-untyped-call]
    needed = graph.cull(keys).layers
    for load in loads:
        files = load.files
        yield RequestSelection(
            name or files.request_id, files.request_id, files.backend, len(needed[load.name])
        )
