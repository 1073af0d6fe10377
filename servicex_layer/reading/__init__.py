"""Reads chosen columns of one result: TTree, RNTuple or Parquet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servicex_layer.reading._canonical_form import datashape_of
from servicex_layer.reading._casting import cast_to_form
from servicex_layer.reading._columns import missing_column_error, select_columns
from servicex_layer.reading._placeholders import fill_unread, placeholder
from servicex_layer.reading._read import Table, open_bytes, open_result, open_table, read, read_form

if TYPE_CHECKING:
    from servicex_layer.reading._root import RootTree

__all__ = [
    "RootTree",
    "Table",
    "cast_to_form",
    "datashape_of",
    "fill_unread",
    "missing_column_error",
    "open_bytes",
    "open_result",
    "open_table",
    "placeholder",
    "read",
    "read_form",
    "select_columns",
]
