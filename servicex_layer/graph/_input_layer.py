"""The base classes of our layers and readers: dask-awkward's if it is installed.

dask-awkward projects only its own classes. Without it nothing is projected: a layer reads all the
columns of its form.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

from servicex_layer.graph._dask_awkward import HAS_DASK_AWKWARD

if TYPE_CHECKING or HAS_DASK_AWKWARD:
    from dask_awkward.layers import AwkwardInputLayer as InputLayer
    from dask_awkward.lib.io.columnar import ColumnProjectionMixin
else:
    from dask.blockwise import Blockwise as InputLayer

    class ColumnProjectionMixin:
        """A reader that nothing projects."""


__all__ = ["ColumnProjectionMixin", "NamedProjection"]


class NamedProjection(InputLayer):
    """An input layer whose projections get names of their own."""

    def projection(self) -> tuple[Hashable, ...]:
        """Return what tells the projections of one layer apart."""
        raise NotImplementedError
