"""Reads chosen columns of one result: TTree, RNTuple or Parquet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servicex_layer.reading._columns import (
    complete,
    datashape_of,
    missing_column,
    placeholder,
    select,
)
from servicex_layer.reading._read import form_of, open_bytes, open_result, open_table, read

if TYPE_CHECKING:
    from servicex_layer.reading._root import RootTree

__all__ = [
    "RootTree",
    "complete",
    "datashape_of",
    "form_of",
    "missing_column",
    "open_bytes",
    "open_result",
    "open_table",
    "placeholder",
    "read",
    "select",
]
