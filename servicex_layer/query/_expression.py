"""A value of each event, as an expression of the columns of that event."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeGuard

from servicex_layer.query._values import Values

__all__ = [
    "Arithmetic",
    "Call",
    "Column",
    "Comparison",
    "Constant",
    "Expression",
    "Item",
    "Logic",
    "Negation",
    "Selection",
    "Term",
    "Unknown",
    "Untranslatable",
    "is_boolean",
    "operands",
    "subexpressions",
]


class Untranslatable(Exception):  # noqa: N818 - never leaves the package
    """An expression has no safe translation; the message is the reason."""


@dataclass(frozen=True)
class Column:
    """A column of the input."""

    name: str
    values: Values


@dataclass(frozen=True)
class Constant:
    """A number that is the same for all events, of Python's or NumPy's type."""

    value: Any


@dataclass(frozen=True)
class Arithmetic:
    """``left operator right`` with one of ``+ - * / **``, and for integers ``& | %``."""

    operator: str
    left: Expression
    right: Expression
    values: Values


@dataclass(frozen=True)
class Comparison:
    """``left operator right`` with one of ``> >= < <= == !=``."""

    operator: str
    left: Expression
    right: Expression
    values: Values


@dataclass(frozen=True)
class Logic:
    """``left operator right`` with ``&`` or ``|``."""

    operator: str
    left: Expression
    right: Expression
    values: Values


@dataclass(frozen=True)
class Negation:
    """``~of``."""

    of: Expression
    values: Values


@dataclass(frozen=True)
class Call:
    """A function of NumPy or awkward, by its name in the language of ``uproot-raw``."""

    function: str
    arguments: tuple[Expression, ...]
    values: Values
    options: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class Selection:
    """``of[mask]`` within the lists of an event."""

    of: Expression
    mask: Expression
    values: Values


@dataclass(frozen=True)
class Item:
    """``of[:, index]``, which raises an error if a list is too short."""

    of: Expression
    index: int
    values: Values


@dataclass(frozen=True)
class Unknown:
    """Values of which only the kind is known, and why."""

    reason: str
    values: Values


Term = Unknown | Column | Arithmetic | Comparison | Logic | Negation | Call | Selection | Item
"""An expression that differs from event to event."""

Expression = Term | Constant


def is_boolean(expression: Expression) -> TypeGuard[Term]:
    """Return whether an expression has truth values."""
    return not isinstance(expression, Constant) and expression.values.is_boolean


def operands(expression: Expression) -> tuple[Expression, ...]:
    """Return what an expression is directly made of."""
    match expression:
        case Arithmetic() | Comparison() | Logic():
            return expression.left, expression.right
        case Negation(of) | Item(of):
            return (of,)
        case Call():
            return expression.arguments
        case Selection(of, mask):
            return of, mask
    return ()


def subexpressions(expression: Expression) -> Iterator[Expression]:
    """Yield an expression and all that it is made of."""
    yield expression
    for operand in operands(expression):
        yield from subexpressions(operand)
