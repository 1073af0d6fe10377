"""The bytes of one result: ranges, connections and integrity."""

from __future__ import annotations

from servicex_layer.transport._byte_source import Body, Local, Remote
from servicex_layer.transport._ranges import Range
from servicex_layer.transport._result import Source, Transfer

__all__ = ["Body", "Local", "Range", "Remote", "Source", "Transfer"]
