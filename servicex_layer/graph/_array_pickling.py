"""Pickling dask-awkward arrays, which dask-awkward 2026.2 cannot do."""

from __future__ import annotations

import copyreg
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import awkward as ak
from awkward.forms import Form
from dask_awkward.lib.core import Array, new_array_object

if TYPE_CHECKING:
    pass

__all__: list[str] = []


def _array(
    graph: Any, name: str, form: Form, behavior: Mapping[Any, Any] | None, divisions: Any
) -> Array:
    meta = ak.typetracer.typetracer_from_form(form, behavior=behavior)
    return new_array_object(graph, name, meta=meta, divisions=divisions)


def _reduce(array: Array) -> Any:
    meta = array._meta
    return _array, (array.dask, array.name, meta.layout.form, meta.behavior, array.divisions)


# dask-awkward 2026.2 cannot pickle its arrays: it hands over their metas, in which awkward looks
# for buffers. Their forms are all that is in them.
copyreg.pickle(Array, _reduce)
