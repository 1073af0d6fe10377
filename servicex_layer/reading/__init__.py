"""Reads chosen columns of one result: TTree, RNTuple or Parquet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servicex_layer.reading._buffers import buffers_of, column_of_buffer, form_of_buffers
from servicex_layer.reading._canonical_form import datashape_of
from servicex_layer.reading._casting import cast_to_form
from servicex_layer.reading._columns import missing_column_error, select_columns
from servicex_layer.reading._placeholders import lists_of_lengths
from servicex_layer.reading._read import Table, open_bytes, open_result, open_table, read, read_form
from servicex_layer.reading._unread_buffer import LateBuffer, LateBuffers, unread_array
from servicex_layer.reading._unread_columns import fill_unread
from servicex_layer.reading._unread_pickling import pickle_unread_columns

if TYPE_CHECKING:
    from servicex_layer.reading._root import RootTree

__all__ = [
    "LateBuffer",
    "LateBuffers",
    "RootTree",
    "Table",
    "buffers_of",
    "cast_to_form",
    "column_of_buffer",
    "datashape_of",
    "fill_unread",
    "form_of_buffers",
    "lists_of_lengths",
    "missing_column_error",
    "open_bytes",
    "open_result",
    "open_table",
    "pickle_unread_columns",
    "read",
    "read_form",
    "select_columns",
    "unread_array",
]
