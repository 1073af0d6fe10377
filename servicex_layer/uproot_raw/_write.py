"""Writes the tables of one input file as a result file, in each format that ServiceX has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import awkward as ak
import pyarrow as pa
import pyarrow.parquet as pq
import uproot

from servicex_layer.errors import InvalidArgumentError

TREENAME = "treename"
"""The column that tells the trees apart in a Parquet file."""


def write_root_file(path: Path, tables: Mapping[str, ak.Array]) -> None:
    """Write a TTree for each table.

    Raises
    ------
    InvalidArgumentError
        A column is of a type that Uproot would write, but wrongly.
    """
    with uproot.recreate(path) as sink:
        for name, table in tables.items():
            for field in table.fields:
                _check_branch(name, field, table[field])
            sink.mktree(name, {field: table[field] for field in table.fields})


def write_root_rntuple(path: Path, tables: Mapping[str, ak.Array]) -> None:
    """Write an RNTuple for each table."""
    with uproot.recreate(path) as sink:
        for name, table in tables.items():
            sink.mkrntuple(name, table)


def write_parquet(path: Path, tables: Mapping[str, ak.Array], *, tell_trees: bool) -> None:
    """Write all tables as one; without any it has no column.

    Parameters
    ----------
    tell_trees
        Whether to add the column `TREENAME`.

    Raises
    ------
    InvalidArgumentError
        The tables differ in their columns, or one has a column `TREENAME` already.
    """
    parts = {}
    for name, table in tables.items():
        if tell_trees and TREENAME in table.fields:
            raise InvalidArgumentError(
                f"the tree {name!r} has a column {TREENAME!r}, which is to tell the trees apart"
            )
        told = ak.with_field(table, name, TREENAME) if tell_trees else table
        parts[name] = ak.to_arrow_table(told)
    first, part = next(iter(parts.items()), ("", pa.table({})))
    # an open file: a name with a colon would be taken for a URL
    with path.open("wb") as file, pq.ParquetWriter(file, part.schema) as writer:
        for name, part in parts.items():
            if part.schema != writer.schema:
                raise InvalidArgumentError(
                    f"the trees {first!r} and {name!r} differ in their columns: "
                    "no Parquet file can hold both"
                )
            writer.write_table(part)


def _check_branch(tree: str, name: str, column: ak.Array) -> None:
    layout = column.layout
    if layout.is_list and not layout.is_regular and layout.content.purelist_depth > 1:
        raise InvalidArgumentError(
            f"the branch {name!r} of the tree {tree!r} is of the type {column.type.content}, which "
            "Uproot cannot write into a TTree: ask for root-rntuple or parquet"
        )
