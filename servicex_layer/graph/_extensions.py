"""What this package changes in dask-awkward, in each process that has one of its layers."""

from __future__ import annotations

from functools import cache

from servicex_layer.graph._dask_awkward import HAS_DASK_AWKWARD

__all__ = ["extend_dask_awkward"]


@cache
def extend_dask_awkward() -> None:
    """Make the changes, if dask-awkward is installed; calling this again changes nothing."""
    if not HAS_DASK_AWKWARD:
        return
    from servicex_layer.graph._array_pickling import make_arrays_picklable
    from servicex_layer.graph._newest_dask import support_newest_dask
    from servicex_layer.graph._projected_names import name_projections

    make_arrays_picklable()
    # First, as `name_projections` also renames what finalize layers take.
    support_newest_dask()
    name_projections()
