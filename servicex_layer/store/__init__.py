"""The store of a request's results: which are finished, and where they are."""

from __future__ import annotations

from servicex_layer.store._base import Store, open_store

__all__ = ["Store", "open_store"]
