"""Lazy arrays over ServiceX requests that are still running."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from servicex_layer import config as config  # sets the defaults of the settings
from servicex_layer import errors

if TYPE_CHECKING:
    from servicex_layer import forms, local, report
    from servicex_layer.collection import from_servicex
    from servicex_layer.coordinator import register
    from servicex_layer.delivery import deliver, submit
    from servicex_layer.following import progress
    from servicex_layer.layers import SXFileLayer, UprootLoadLayer

__all__ = [
    "SXFileLayer",
    "UprootLoadLayer",
    "__version__",
    "deliver",
    "errors",
    "forms",
    "from_servicex",
    "local",
    "progress",
    "register",
    "report",
    "submit",
]

__version__ = "0.1.0"

# Awkward, dask-awkward and distributed take their time to import: not before they are needed.
_HOMES = {
    "SXFileLayer": "layers",
    "UprootLoadLayer": "layers",
    "deliver": "delivery",
    "from_servicex": "collection",
    "progress": "following",
    "register": "coordinator",
    "submit": "delivery",
}


def __getattr__(name: str) -> Any:
    if name in ("forms", "local", "report"):
        return importlib.import_module(f"servicex_layer.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"servicex_layer.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
