"""Writes the tables of one input file to a result file, in each of ServiceX's formats."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import awkward as ak
import pyarrow as pa
import pyarrow.parquet as pq
import uproot

from servicex_layer.errors import InvalidArgumentError

__all__ = ["write_parquet", "write_root_file", "write_root_rntuple"]

TREENAME = "treename"
"""The column of a Parquet file with the name of each row's tree."""


def write_root_file(path: Path, tables: Mapping[str, ak.Array]) -> None:
    """Write a TTree for each table.

    Raises
    ------
    InvalidArgumentError
        If Uproot would write a column wrongly.
    """
    with uproot.recreate(path) as sink:
        for name, table in tables.items():
            for field in table.fields:
                _check_writable(name, field, table[field])
            sink.mktree(name, {field: table[field] for field in table.fields})


def write_root_rntuple(path: Path, tables: Mapping[str, ak.Array]) -> None:
    """Write an RNTuple for each table."""
    with uproot.recreate(path) as sink:
        for name, table in tables.items():
            sink.mkrntuple(name, table)


def write_parquet(path: Path, tables: Mapping[str, ak.Array], *, with_treename: bool) -> None:
    """Write all tables as one; without a table, the file has no columns.

    Parameters
    ----------
    path : Path
        The result file.
    tables : mapping of str to awkward.Array
        The tables by the names of their trees.
    with_treename : bool
        Whether to add the column `TREENAME`.

    Raises
    ------
    InvalidArgumentError
        If the tables have different columns, or one has a column `TREENAME` already.
    """
    parts = {}
    for name, table in tables.items():
        if with_treename and TREENAME in table.fields:
            raise InvalidArgumentError(
                f"the tree {name!r} has a column {TREENAME!r}: that name is reserved for the names "
                "of trees"
            )
        rows = ak.with_field(table, name, TREENAME) if with_treename else table
        parts[name] = ak.to_arrow_table(rows)
    first, part = next(iter(parts.items()), ("", pa.table({})))
    # An open file: pyarrow takes a name with a colon for a URL.
    with path.open("wb") as file, pq.ParquetWriter(file, part.schema) as writer:
        for name, part in parts.items():
            if part.schema != writer.schema:
                raise InvalidArgumentError(
                    f"the trees {first!r} and {name!r} have different columns: one Parquet file "
                    "cannot hold both"
                )
            writer.write_table(part)


def _check_writable(tree: str, name: str, column: ak.Array) -> None:
    layout = column.layout
    if layout.is_list and not layout.is_regular and layout.content.purelist_depth > 1:
        raise InvalidArgumentError(
            f"the branch {name!r} of the tree {tree!r} has the type {column.type.content}, which "
            "Uproot cannot write to a TTree: request root-rntuple or parquet"
        )
