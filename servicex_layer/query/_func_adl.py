"""Reduces the last ``Select`` of a func_adl query to the columns that are needed."""

from __future__ import annotations

import ast
import copy
from collections.abc import Collection
from typing import Any

from servicex_layer.errors import InvalidArgumentError, MissingExtraError

__all__ = ["prune"]


def prune(query: Any, columns: Collection[str]) -> Any:
    """Return a func_adl query that selects only these columns.

    Parameters
    ----------
    query : object
        The query, or its qastle text.
    columns : collection of str
        Names in the dictionary of its last ``Select``.

    Returns
    -------
    object
        A query of the same kind; the query itself if its last ``Select`` has no dictionary.

    Raises
    ------
    MissingExtraError
        If the extra ``func-adl`` is not installed.
    """
    try:
        import qastle
    except ImportError as error:
        raise MissingExtraError(
            'Reducing a func_adl query needs the extra "func-adl": '
            'pip install "servicex_layer[func-adl]".'
        ) from error
    text = query if isinstance(query, str) else query.generate_selection_string()
    tree = qastle.unwrap_ast(qastle.text_ast_to_python_ast(text))
    selected = _last_dictionary(tree)
    if selected is None:
        return query
    kept = [
        (key, value)
        for key, value in zip(selected.keys, selected.values, strict=True)
        if isinstance(key, ast.Constant) and key.value in columns
    ]
    selected.keys = [key for key, _ in kept]
    selected.values = [value for _, value in kept]
    pruned = str(qastle.python_ast_to_text_ast(tree))
    if isinstance(query, str):
        return pruned
    if not hasattr(query, "set_provided_qastle"):
        raise InvalidArgumentError(
            f"{query!r} can't be reduced. Pass a query of servicex.query, or qastle text."
        )
    reduced = copy.copy(query)
    reduced.set_provided_qastle(pruned)
    return reduced


def _last_dictionary(tree: ast.AST) -> ast.Dict | None:
    """Return the dictionary that the outermost ``Select`` makes of each event."""
    for node in ast.walk(tree):  # the outermost first
        match node:
            case ast.Call(
                func=ast.Name(id="Select"), args=[_, ast.Lambda(body=ast.Dict() as body)]
            ):
                return body
            case ast.Call(func=ast.Name(id="Select")):
                return None
    return None
