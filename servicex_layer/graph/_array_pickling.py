"""Pickling of dask-awkward arrays, which dask-awkward 2026.2 can't do itself.

It pickles the meta of an array, a typetracer, and awkward then looks for the buffers that a
typetracer doesn't have. The form of the meta holds all that there is to pickle.
"""

from __future__ import annotations

import copyreg
from collections.abc import Iterable, Mapping
from typing import Any

import awkward as ak
from awkward.forms import Form
from dask.highlevelgraph import HighLevelGraph
from dask_awkward.lib.core import Array

from servicex_layer.graph._dask_awkward import meta_of, new_array

__all__ = ["make_arrays_picklable"]


def make_arrays_picklable() -> None:
    """Register a reducer for dask-awkward arrays."""
    copyreg.pickle(Array, _reduce)


def _reduce(array: Array) -> Any:
    meta = meta_of(array)
    return _rebuild, (array.dask, array.name, meta.layout.form, meta.behavior, array.divisions)


def _rebuild(
    graph: HighLevelGraph,
    name: str,
    form: Form,
    behavior: Mapping[Any, Any] | None,
    divisions: Iterable[int | None],
) -> Array:
    make_arrays_picklable()
    meta = ak.typetracer.typetracer_from_form(form, behavior=behavior)
    return new_array(graph, name, meta, divisions)
