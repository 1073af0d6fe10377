"""Runs a query on one file."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import awkward as ak
import uproot

from servicex_layer.errors import InvalidArgumentError
from servicex_layer.uproot_raw._query import RESULT_FORMATS, TreeQuery, parse_selection
from servicex_layer.uproot_raw._write import write_parquet, write_root_file, write_root_rntuple


class Transformed(NamedTuple):
    """What a transformation made: events in all trees, and bytes of the result file."""

    events: int
    bytes: int


def run_query(
    input_path: str,
    selection: str,
    output_path: str | Path,
    result_format: str = "root-file",
    *,
    entry_stop: int | None = None,
) -> Transformed:
    """Run an ``uproot-raw`` query on one file and write the result to another.

    Parameters
    ----------
    input_path
        The path or URL of a ROOT file.
    selection
        The query, as in the ``selection`` of a request.
    output_path
        Where to write; a file that is there is overwritten.
    result_format
        One of `~servicex_layer.local.selection.RESULT_FORMATS`.
    entry_stop
        How many entries of each tree to read; all by default.

    Raises
    ------
    InvalidArgumentError
        The selection or the format is none that can be run.
    Exception
        Whatever Uproot raises for an input file that cannot be read, a tree or branch that is not
        in it, or a type that cannot be written.
    """
    queries = parse_selection(selection)
    if result_format not in RESULT_FORMATS:
        raise InvalidArgumentError(
            f"the result format {result_format!r} is none of {', '.join(RESULT_FORMATS)}"
        )
    # a string would be split at its last colon
    with uproot.open({input_path: None}) as source:
        tables = {
            name: table
            for query in queries
            for name, table in _read_tables(source, query, entry_stop).items()
        }
    path = Path(output_path)
    match result_format:
        case "root-file":
            write_root_file(path, tables)
        case "root-rntuple":
            write_root_rntuple(path, tables)
        case _:
            several = sum(len(query.trees) for query in queries) > 1
            write_parquet(path, tables, tell_trees=several)
    events = sum(len(table) for table in tables.values())
    return Transformed(events, path.stat().st_size)


def _read_tables(
    source: uproot.ReadOnlyDirectory, query: TreeQuery, entry_stop: int | None
) -> dict[str, ak.Array]:
    tables = {}
    for tree, output in query.trees.items():
        if query.may_miss and tree not in source:
            continue
        # a cut leaves indices, which not every format can be written from
        table = ak.to_packed(source[tree].arrays(**query.arguments, entry_stop=entry_stop))
        if not table.fields:
            raise InvalidArgumentError(f"the query selects no branch of the tree {tree!r}")
        tables[output] = table
    return tables
