"""Runs an ``uproot-raw`` query on one file."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import awkward as ak
import uproot

from servicex_layer.errors import InvalidArgumentError
from servicex_layer.uproot_raw._language import expression_language
from servicex_layer.uproot_raw._query import RESULT_FORMATS, TreeQuery, parse_selection
from servicex_layer.uproot_raw._write import write_parquet, write_root_file, write_root_rntuple

__all__ = ["QueryResult", "run_query"]


class QueryResult(NamedTuple):
    """The number of events in all output trees, and the size of the result file in bytes."""

    events: int
    bytes: int


def run_query(
    input_path: str,
    selection: str,
    output_path: str | Path,
    result_format: str = "root-file",
    *,
    entry_stop: int | None = None,
) -> QueryResult:
    """Run an ``uproot-raw`` query on one file and write the result to another.

    Parameters
    ----------
    input_path : str
        The path or URL of a ROOT file.
    selection : str
        The query, as in the ``selection`` of a request.
    output_path : str or Path
        The result file; an existing one is overwritten.
    result_format : {"root-file", "root-rntuple", "parquet"}
        Its format.
    entry_stop : int, optional
        The number of entries of each tree to read; by default all.

    Raises
    ------
    InvalidArgumentError
        If the selection or the format is not valid.
    Exception
        Whatever Uproot raises if the input file cannot be read, lacks a tree or branch, or has a
        type that cannot be written.
    """
    queries = parse_selection(selection)
    if result_format not in RESULT_FORMATS:
        raise InvalidArgumentError(
            f"the result format {result_format!r} is not one of {', '.join(RESULT_FORMATS)}"
        )
    # A mapping: Uproot splits a string at its last colon.
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
            has_several_trees = sum(len(query.trees) for query in queries) > 1
            write_parquet(path, tables, with_treename=has_several_trees)
    events = sum(len(table) for table in tables.values())
    return QueryResult(events, path.stat().st_size)


def _read_tables(
    source: uproot.ReadOnlyDirectory, query: TreeQuery, entry_stop: int | None
) -> dict[str, ak.Array]:
    tables = {}
    language = expression_language(standard_axis=query.standard_axis)
    for tree, output in query.trees.items():
        if query.may_be_missing and tree not in source:
            continue
        # A cut leaves an indexed array, which Uproot and pyarrow cannot write in every format.
        table = ak.to_packed(
            source[tree].arrays(**query.arguments, language=language, entry_stop=entry_stop)
        )
        if not table.fields:
            raise InvalidArgumentError(f"the query selects no branch of the tree {tree!r}")
        tables[output] = table
    return tables
