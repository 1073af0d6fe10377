"""The bytes of one result: ranges, connections and integrity."""

from __future__ import annotations

from servicex_layer.transport._byte_file import ByteFile
from servicex_layer.transport._byte_source import ByteSource, OpenFileBytes, open_source
from servicex_layer.transport._ranges import Range
from servicex_layer.transport._result import ResultSource, TransferStats

__all__ = [
    "ByteFile",
    "ByteSource",
    "OpenFileBytes",
    "Range",
    "ResultSource",
    "TransferStats",
    "open_source",
]
