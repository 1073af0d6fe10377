"""The store of a request's results: which are finished, and where they are."""

from __future__ import annotations

from servicex_layer.store._choice import open_store
from servicex_layer.store._protocol import Store

__all__ = ["Store", "open_store"]
