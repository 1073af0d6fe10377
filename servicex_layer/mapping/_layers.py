"""Two layers of a graph: one task per partition, and the tree that reduces them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from math import ceil
from typing import Any

from dask.highlevelgraph import Layer, MaterializedLayer
from dask.typing import Key

from servicex_layer.graph import LazyLayer, SXFileLayer, Task, call_with_results

__all__ = ["CallLayer", "ReductionLayer"]


class _FunctionLayer(LazyLayer):
    """A layer whose tasks call one function with the results of others."""

    name: str
    call: Callable[..., Any]

    def __init__(self, name: str, call: Callable[..., Any]) -> None:
        super().__init__()
        self.name = name
        self.call = call

    @abstractmethod
    def inputs_of(self, key: Key) -> list[Key]:
        """Return the keys of the tasks whose results a task takes."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}<{self.name} {len(self)} tasks>"

    def __getitem__(self, key: Key) -> Task:
        if key not in self:
            raise KeyError(key)
        return call_with_results(key, self.call, self.inputs_of(key))

    def get_dependencies(self, key: Key, all_hlg_keys: Any) -> set[Key]:
        """See `dask.highlevelgraph.Layer.get_dependencies`."""
        del all_hlg_keys
        return set(self.inputs_of(key))

    def cull(self, keys: set[Key], all_hlg_keys: Any) -> tuple[Layer, Mapping[Key, set[Key]]]:
        """See `dask.highlevelgraph.Layer.cull`."""
        del all_hlg_keys
        needed = self._with_inputs_inside(keys)
        dependencies = {key: set(self.inputs_of(key)) for key in needed}
        if len(needed) == len(self):
            return self, dependencies
        return MaterializedLayer({key: self[key] for key in needed}), dependencies

    def _with_inputs_inside(self, keys: set[Key]) -> set[Key]:
        needed: set[Key] = set()
        left = [key for key in keys if key in self]
        while left:
            key = left.pop()
            if key not in needed:
                needed.add(key)
                left += [other for other in self.inputs_of(key) if other in self]
        return needed


class CallLayer(_FunctionLayer):
    """Calls something with the files of an `SXFileLayer`: task N with those of partition N.

    Parameters
    ----------
    name : str
        Name of the layer.
    call : callable
        Called with a file, or with a group of files.
    files : SXFileLayer
        The layer that waits for the files.
    sample : str
        Name of the sample; empty if the graph has only one request.
    """

    def __init__(
        self, name: str, call: Callable[..., Any], files: SXFileLayer, sample: str = ""
    ) -> None:
        super().__init__(name, call)
        self.sample = sample
        self.files = files.name
        self.npartitions = files.npartitions

    def __len__(self) -> int:
        return self.npartitions

    def __iter__(self) -> Iterator[Key]:
        return ((self.name, partition) for partition in range(len(self)))

    def __contains__(self, key: object) -> bool:
        match key:
            case (self.name, int(partition)):
                return 0 <= partition < len(self)
        return False

    def inputs_of(self, key: Any) -> list[Key]:
        """Return the key of the task that waits for the files of a partition."""
        _, partition = key
        return [(self.files, partition)]


class ReductionLayer(_FunctionLayer):
    """Reduces the results of a `CallLayer` as a tree.

    Its keys are ``(name, level, place)``; the last level has one task.

    Parameters
    ----------
    name : str
        Name of the layer.
    call : callable
        Called with up to `split_every` results.
    calls : CallLayer
        The layer whose results are reduced: of more than one task.
    split_every : int
        Number of results that one task reduces.
    """

    def __init__(
        self, name: str, call: Callable[..., Any], calls: CallLayer, split_every: int
    ) -> None:
        super().__init__(name, call)
        self.calls = calls.name
        self.call_count = len(calls)
        self.split_every = split_every

    @property
    def root(self) -> Key:
        """Key of the task that reduces all."""
        return self.name, len(self._sizes) - 1, 0

    @cached_property
    def _sizes(self) -> list[int]:
        """Number of tasks of each level."""
        sizes = [ceil(self.call_count / self.split_every)]
        while sizes[-1] > 1:
            sizes.append(ceil(sizes[-1] / self.split_every))
        return sizes

    def __len__(self) -> int:
        return sum(self._sizes)

    def __iter__(self) -> Iterator[Key]:
        return (
            (self.name, level, place)
            for level, size in enumerate(self._sizes)
            for place in range(size)
        )

    def __contains__(self, key: object) -> bool:
        match key:
            case (self.name, int(level), int(place)):
                return 0 <= level < len(self._sizes) and 0 <= place < self._sizes[level]
        return False

    def inputs_of(self, key: Any) -> list[Key]:
        """Return the keys of the tasks of the level below."""
        _, level, place = key
        below = self._sizes[level - 1] if level else self.call_count
        start = place * self.split_every
        places = range(start, min(start + self.split_every, below))
        if level == 0:
            return [(self.calls, group) for group in places]
        return [(self.name, level - 1, lower) for lower in places]
