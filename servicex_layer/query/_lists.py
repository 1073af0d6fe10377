"""Which lists an expression combines: an error if their lengths differ."""

from __future__ import annotations

import re
from collections.abc import Hashable

from servicex_layer.query._expression import (
    Column,
    Constant,
    Expression,
    Item,
    Selection,
    Unknown,
    operands,
    subexpressions,
)

__all__ = ["may_fail"]


def may_fail(expression: Expression) -> bool:
    """Return whether an expression combines lists that may differ in length.

    Lists have the same lengths if their columns have the same first word, as ``Muon_pt`` and
    ``Muon_eta``, or if one mask was applied to them.
    """
    return any(len(_lists(part)) > 1 for part in subexpressions(expression)) or any(
        _lists(part.of) != _lists(part.mask)
        for part in subexpressions(expression)
        if isinstance(part, Selection)
    )


def _lists(expression: Expression) -> frozenset[Hashable]:
    """Return what tells the lists of an expression apart from others."""
    if isinstance(expression, Constant) or expression.values.depth < 2:
        return frozenset()
    match expression:
        case Column(name):
            return frozenset({re.split(r"[._]", name)[0]})
        case Selection(of, mask):
            return frozenset({(_lists(of), mask)})
        case Item() | Unknown():
            return frozenset({expression})
    return frozenset().union(*map(_lists, operands(expression)))
