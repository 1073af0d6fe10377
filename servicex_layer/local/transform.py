"""Runs a query on one file."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import awkward as ak
import uproot

from servicex_layer.errors import InvalidArgumentError
from servicex_layer.local.selection import RESULT_FORMATS, TreeQuery, parse_selection


class Transformed(NamedTuple):
    """What a transformation made: events in all trees, and bytes of the result file."""

    events: int
    bytes: int


def run_query(
    input_path: str, selection: str, output_path: str | Path, result_format: str = "root-file"
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
            name: table for query in queries for name, table in _read_tables(source, query).items()
        }
    _write_root_file(Path(output_path), tables)
    events = sum(len(table) for table in tables.values())
    return Transformed(events, Path(output_path).stat().st_size)


def _read_tables(source: uproot.ReadOnlyDirectory, query: TreeQuery) -> dict[str, ak.Array]:
    tables = {}
    for tree, output in query.trees.items():
        if query.may_miss and tree not in source:
            continue
        tables[output] = source[tree].arrays(**query.arguments)
    return tables


def _write_root_file(path: Path, tables: dict[str, ak.Array]) -> None:
    with uproot.recreate(path) as sink:
        for name, table in tables.items():
            if not table.fields:
                raise InvalidArgumentError(f"the query selects no branch of the tree {name!r}")
            sink.mktree(name, {field: table[field] for field in table.fields})
