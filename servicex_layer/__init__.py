"""Lazy arrays over ServiceX requests that are still running."""

from __future__ import annotations

from servicex_layer import errors, local
from servicex_layer.collection import from_servicex
from servicex_layer.coordinator import register
from servicex_layer.layers import SXFileLayer, UprootLoadLayer

__all__ = [
    "SXFileLayer",
    "UprootLoadLayer",
    "__version__",
    "errors",
    "from_servicex",
    "local",
    "register",
]

__version__ = "0.1.0"
