"""One function per finished file, and what coffea needs to follow a request."""

from __future__ import annotations

from servicex_layer.mapping._file_system import ServiceXFileSystem
from servicex_layer.mapping._histograms import histograms
from servicex_layer.mapping._layers import CallLayer
from servicex_layer.mapping._map_files import map_files
from servicex_layer.mapping._nanoevents import nanoevents
from servicex_layer.mapping._work_items import work_items

__all__ = [
    "CallLayer",
    "ServiceXFileSystem",
    "histograms",
    "map_files",
    "nanoevents",
    "work_items",
]
