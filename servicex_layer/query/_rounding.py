"""Which values are the same on every computer to the last bit, and which may be rounded."""

from __future__ import annotations

from servicex_layer.query._expression import (
    Arithmetic,
    Call,
    Constant,
    Expression,
    Item,
    Selection,
    is_boolean,
)
from servicex_layer.query._functions import ROUGH_NAMES

__all__ = ["TOLERANCE", "is_exact"]

TOLERANCE = 1e-3
"""The slack of a rounded number, relative to the size of the numbers that it is made of.

A sum of n numbers of 32 bits in two different orders differs by less than n times 1.2e-7 of the sum
of their absolute values: this is enough for lists of 8 000 items.
"""


def is_exact(expression: Expression) -> bool:
    """Return whether an expression has the same bits wherever it is computed.

    Arithmetic is exact if its operands are: IEEE 754 defines it, and constants whose type depends
    on the version of NumPy are not translated. The order in which a sum is taken is not defined.
    """
    match expression:
        case _ if is_boolean(expression):
            return True  # truth values that rounding decides have no translation at all
        case Arithmetic("**"):
            return False
        case Arithmetic():
            return is_exact(expression.left) and is_exact(expression.right)
        case Call("sum" | "prod" | "mean", (of,)):
            return not isinstance(of, Constant) and (
                expression.function != "mean" and of.values.is_integer
            )
        case Call():
            is_rough = expression.function in ROUGH_NAMES
            return not is_rough and all(map(is_exact, expression.arguments))
        case Selection(of) | Item(of):
            return is_exact(of)
    return True
