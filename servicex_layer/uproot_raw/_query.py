"""The ``uproot-raw`` query, as the ``selection`` of a request holds it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from servicex_layer.errors import InvalidArgumentError

__all__ = ["CODEGEN", "RESULT_FORMATS", "TreeQuery", "parse_selection"]

CODEGEN = "uproot-raw"
RESULT_FORMATS = ("root-file", "root-rntuple", "parquet")

_ARRAYS_KEYS = ("expressions", "cut", "filter_name", "filter_typename", "aliases")
_OTHER_KEYS = ("treename", "fail_on_missing_trees", "use_standard_awkward_axis")


@dataclass(frozen=True)
class TreeQuery:
    """One entry of a selection.

    Parameters
    ----------
    trees : dict of str to str
        The output tree for each input tree, by their names.
    arguments : dict
        Keyword arguments of ``uproot.TTree.arrays``.
    may_be_missing : bool
        Whether to skip a tree that the input file lacks. Otherwise the file fails.
    standard_axis : bool
        Whether functions of awkward keep their own default of ``axis``.
    """

    trees: dict[str, str]
    arguments: dict[str, Any]
    may_be_missing: bool
    standard_axis: bool


def parse_selection(selection: str) -> list[TreeQuery]:
    """Parse the ``selection`` of a request.

    Raises
    ------
    InvalidArgumentError
        If it is not a valid ``uproot-raw`` query.
    """
    try:
        entries = json.loads(selection)
    except ValueError as error:
        raise InvalidArgumentError(f"the selection is not valid JSON: {error}") from error
    if not isinstance(entries, list) or not entries:
        raise InvalidArgumentError("the selection must be a JSON list of at least one object")
    queries = [_parse_entry(entry) for entry in entries]
    outputs: set[str] = set()
    for query in queries:
        for output in query.trees.values():
            if output in outputs:
                raise InvalidArgumentError(f"two trees of the selection are both named {output!r}")
            outputs.add(output)
    return queries


def _parse_entry(entry: object) -> TreeQuery:
    if not isinstance(entry, dict):
        raise InvalidArgumentError(f"an entry of the selection must be an object, not {entry!r}")
    entry = {key: value for key, value in entry.items() if value is not None}
    unknown = sorted(entry.keys() - {*_ARRAYS_KEYS, *_OTHER_KEYS})
    if unknown:
        raise InvalidArgumentError(
            f"the selection has the key {unknown[0]!r}, which is not one of "
            + ", ".join(("treename", *_ARRAYS_KEYS))
        )
    for key in ("expressions", "filter_name", "filter_typename"):
        if key in entry and not (isinstance(entry[key], str) or _is_list_of_strings(entry[key])):
            raise InvalidArgumentError(f"{key} must be a string or a list of strings")
    if not isinstance(entry.get("cut", ""), str):
        raise InvalidArgumentError("cut must be a string")
    if not _is_map_of_strings(entry.get("aliases", {})):
        raise InvalidArgumentError("aliases must be a map of strings to strings")
    return TreeQuery(
        trees=_parse_treename(entry.get("treename")),
        arguments={key: entry[key] for key in _ARRAYS_KEYS if key in entry},
        may_be_missing=entry.get("fail_on_missing_trees") is False,
        standard_axis=entry.get("use_standard_awkward_axis") is True,
    )


def _parse_treename(treename: object) -> dict[str, str]:
    if isinstance(treename, str) and treename:
        return {treename: _without_cycle(treename)}
    if isinstance(treename, list) and treename and _is_list_of_strings(treename):
        return {name: _without_cycle(name) for name in treename}
    if isinstance(treename, dict) and treename and _is_map_of_strings(treename):
        return dict(treename)
    raise InvalidArgumentError(
        "treename must be a non-empty string, list of strings, or map of input to output names, "
        f"not {treename!r}"
    )


def _without_cycle(name: str) -> str:
    return name.partition(";")[0]


def _is_list_of_strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_map_of_strings(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(key, str) and isinstance(item, str) for key, item in value.items()
    )
