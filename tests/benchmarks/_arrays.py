"""The arrays to compare: from the two layers, and from `uproot.dask`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import uproot
from dask.highlevelgraph import HighLevelGraph
from dask_awkward.lib.core import Array, new_array_object

from servicex_layer import SXFileLayer, UprootLoadLayer
from servicex_layer.forms import as_form


def layers_array(request_id: str, npartitions: int, form: Any, *, fuse: bool = False) -> Array:
    """Make an array of the two layers, or of the load layer alone, whose tasks then wait."""
    files = SXFileLayer(request_id, npartitions)
    load = UprootLoadLayer(files, form=form, tree="events", fuse=fuse)
    layers: dict[str, Any] = {load.name: load}
    dependencies: dict[str, set[str]] = {load.name: set()}
    if not fuse:
        layers[files.name] = files
        dependencies = {files.name: set(), load.name: {files.name}}
    graph = HighLevelGraph(layers, dependencies)
    return new_array_object(graph, load.name, meta=load.meta, npartitions=load.npartitions)


def uproot_array(files: Iterable[str], form: Any, tree: str = "events") -> Array:
    """Make an array of paths or URLs with `uproot.dask`, which opens none of them."""
    trees = dict.fromkeys(files, tree)
    events: Array = uproot.dask(trees, open_files=False, known_base_form=as_form(form))
    return events
