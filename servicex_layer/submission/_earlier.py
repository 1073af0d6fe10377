"""Earlier requests whose results hold all that a derived query needs."""

from __future__ import annotations

import ast
import json
from typing import Any

from servicex_layer.query import DerivedQuery

__all__ = ["holds"]


def holds(selection: str, derived: DerivedQuery) -> bool:
    """Return whether the results of an ``uproot-raw`` selection hold what a query needs.

    That is the case if it selects the same tree, at least the columns, and at least the events: its
    cut has no term that the query's cut lacks.

    Parameters
    ----------
    selection : str
        The selection of an earlier request.
    derived : DerivedQuery
        The query.
    """
    try:
        entries = json.loads(selection)
    except ValueError:
        return False
    if not isinstance(entries, list) or len(entries) != 1 or not isinstance(entries[0], dict):
        return False
    entry = {key: value for key, value in entries[0].items() if value is not None}
    needed = derived.selection()
    if not entry.keys() <= needed.keys() | {"cut"}:
        return False
    names = entry.get("filter_name")
    return (
        entry.get("treename") == needed["treename"]
        and entry.get("fail_on_missing_trees") is True
        and isinstance(names, list)
        and set(needed["filter_name"]) <= set(names)
        and _terms(entry.get("cut")) <= _terms(derived.cut)
    )


def _terms(cut: Any) -> frozenset[str]:
    """Return the terms that a cut joins by ``&``, in one spelling."""
    if cut is None:
        return frozenset()
    try:
        node = ast.parse(str(cut), mode="eval").body
    except SyntaxError:
        return frozenset({str(cut)})
    pending, terms = [node], set()
    while pending:
        node = pending.pop()
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd):
            pending += [node.left, node.right]
        else:
            terms.add(ast.unparse(node))
    return frozenset(terms)
