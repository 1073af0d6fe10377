"""Lazy arrays over ServiceX requests that are still running."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from servicex_layer import _config as _config  # sets the defaults of the settings
from servicex_layer import errors

if TYPE_CHECKING:
    from servicex_layer import forms, local, report
    from servicex_layer.feed import register
    from servicex_layer.graph import SXFileLayer, UprootLoadLayer, from_servicex
    from servicex_layer.mapping import histograms, map_files, nanoevents, work_items
    from servicex_layer.monitor import cancel, progress, status
    from servicex_layer.query import DerivedQuery, derive_query
    from servicex_layer.submission import apply_to_dataset, deliver, submit

__all__ = [
    "DerivedQuery",
    "SXFileLayer",
    "UprootLoadLayer",
    "__version__",
    "apply_to_dataset",
    "cancel",
    "deliver",
    "derive_query",
    "errors",
    "forms",
    "from_servicex",
    "histograms",
    "local",
    "map_files",
    "nanoevents",
    "progress",
    "register",
    "report",
    "status",
    "submit",
    "work_items",
]

__version__ = "0.1.0"

# Awkward, dask-awkward and distributed take their time to import: not before they are needed.
_HOMES = {
    "DerivedQuery": "query",
    "SXFileLayer": "graph",
    "UprootLoadLayer": "graph",
    "apply_to_dataset": "submission",
    "cancel": "monitor",
    "deliver": "submission",
    "derive_query": "query",
    "from_servicex": "graph",
    "histograms": "mapping",
    "map_files": "mapping",
    "nanoevents": "mapping",
    "progress": "monitor",
    "register": "feed",
    "status": "monitor",
    "submit": "submission",
    "work_items": "mapping",
}
_MODULES = ("forms", "local", "report")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"servicex_layer.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"servicex_layer.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
