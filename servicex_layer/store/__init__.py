"""Where the results of a request are, and which are finished."""

from __future__ import annotations

from servicex_layer.store._base import Store, open_store

__all__ = ["Store", "open_store"]
