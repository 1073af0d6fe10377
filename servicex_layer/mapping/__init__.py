"""One function per finished file, and what coffea needs to follow a request."""

from __future__ import annotations

from servicex_layer.mapping._map_files import map_files

__all__ = ["map_files"]
