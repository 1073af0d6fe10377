"""The base of our layers that make their tasks on demand."""

from __future__ import annotations

from typing import Any

from dask.highlevelgraph import Layer
from dask.typing import Key

__all__ = ["LazyLayer"]


class LazyLayer(Layer):
    """A layer that makes its tasks on demand, and pickles none of them.

    Subclasses have the methods of a mapping but `items`, and `cull`.
    """

    # Dask would make all tasks to find out.
    has_legacy_tasks = False

    def items(self) -> Any:
        """Return the keys with their tasks."""
        return {key: self[key] for key in self}.items()

    def is_materialized(self) -> bool:
        """See `dask.highlevelgraph.Layer.is_materialized`."""
        return False

    def get_output_keys(self) -> set[Key]:
        """See `dask.highlevelgraph.Layer.get_output_keys`."""
        return set(self)
