"""Layers and arrays made by hand, as users of the two layers make them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from dask.highlevelgraph import HighLevelGraph
from optional_dask_awkward import dak  # type: ignore[import-not-found]

from servicex_layer import SXFileLayer, UprootLoadLayer

FORM = "{x: float64, n: int32, v: var * float64}"


@pytest.fixture(scope="session")
def graph_by_hand() -> Callable[[SXFileLayer, UprootLoadLayer], HighLevelGraph]:
    def graph_by_hand(files: SXFileLayer, load: UprootLoadLayer) -> HighLevelGraph:
        if load.fuse:
            return HighLevelGraph({load.name: load}, {load.name: set()})
        return HighLevelGraph(
            {files.name: files, load.name: load}, {files.name: set(), load.name: {files.name}}
        )

    return graph_by_hand


@pytest.fixture(scope="session")
def array_by_hand(graph_by_hand: Callable[..., HighLevelGraph]) -> Callable[..., Any]:
    def array_by_hand(files: SXFileLayer, **options: Any) -> Any:
        load = UprootLoadLayer(files, **{"form": FORM, **options})
        return dak.lib.core.new_array_object(
            graph_by_hand(files, load),
            load.name,
            meta=load.meta,
            npartitions=load.npartitions,
        )

    return array_by_hand
