"""Constants beside columns, written so that every version of NumPy compares them alike.

NumPy 1 and 2 choose the type of ``column > constant`` by different rules. Written as a number that
the column's own type can hold, a constant means the same in any type.
"""

from __future__ import annotations

import math
from typing import Any

import awkward as ak
import numpy as np

from servicex_layer.query._expression import Untranslatable
from servicex_layer.query._values import Values

__all__ = ["arithmetic_constant", "comparable_constant", "exactly_representable"]

# Beyond this, not every integer is a float64.
_LARGEST_EXACT_INTEGER = 2**53


def comparable_constant(
    constant: Any, values: Values, operator: str, computed: Values | None = None
) -> str:
    """Write the constant of ``values operator constant``.

    Parameters
    ----------
    constant : object
        A number of Python or NumPy.
    values : Values
        The kind of the values.
    operator : str
        One of ``> >= < <= == !=``.
    computed : Values, optional
        The kind that the analysis has made of the values without changing a number.

    Raises
    ------
    Untranslatable
        If the comparison means different things to different versions of NumPy.
    """
    number = _number(constant)
    if not math.isfinite(number):
        raise Untranslatable(f"the constant {constant!r}")
    if values.is_integer and isinstance(number, int):
        return repr(_in_range(number, values))
    compared = _compared_in(computed or values, constant)
    if values.is_integer:
        return repr(_integer_beside(number, compared, values, operator))
    if isinstance(number, int) and abs(number) > _LARGEST_EXACT_INTEGER:
        raise Untranslatable(f"the constant {constant!r} is too large for exact comparison")
    return repr(_float_beside(number, compared, values, operator))


def arithmetic_constant(constant: Any, values: Values) -> str:
    """Write a constant that is added to or multiplied with values, or the like.

    Raises
    ------
    Untranslatable
        If the type of the result depends on the version of NumPy.
    """
    if isinstance(constant, np.generic):
        raise Untranslatable(f"the NumPy constant {constant!r} in arithmetic")
    number = _number(constant)
    if values.dtype.itemsize < 4 or not math.isfinite(number):
        raise Untranslatable(f"the constant {constant!r} beside numbers of type {values.dtype}")
    if values.is_integer:
        is_in_range = isinstance(number, float) or _is_in_range(number, values)
    else:
        is_in_range = abs(number) <= float(np.finfo(values.dtype).max)
    if not is_in_range:
        raise Untranslatable(f"the constant {constant!r} is out of range of {values.dtype}")
    return repr(number)


def _number(constant: Any) -> int | float:
    number = constant.item() if isinstance(constant, np.generic) else constant
    if isinstance(number, (bool, int, float)):
        return number
    raise Untranslatable(f"the constant {constant!r}")


def exactly_representable(constant: Any, values: Values) -> bool:
    """Return whether a constant is one of the numbers of a type."""
    number = _number(constant)
    if values.is_integer:
        return number == int(number) and _is_in_range(int(number), values)
    with np.errstate(over="ignore"):
        return float(values.dtype.type(number)) == number


def _integer_beside(number: float, compared: np.dtype[Any], values: Values, operator: str) -> int:
    """Return the integer that separates integers as a fraction does."""
    if compared.itemsize < 8:
        raise Untranslatable(f"the constant {number!r} beside integers of few bits")
    if operator in ("==", "!=") and not number.is_integer():
        raise Untranslatable(f"integers never equal {number!r}")
    rounded = math.floor(number) if operator in (">", "<=") else math.ceil(number)
    return _in_range(rounded, values)


def _in_range(number: int, values: Values) -> int:
    if not _is_in_range(number, values):
        raise Untranslatable(f"the constant {number!r} is out of range of {values.dtype}")
    return number


def _is_in_range(number: int, values: Values) -> bool:
    if values.is_boolean:
        return number in (0, 1)
    info = np.iinfo(values.dtype)
    return info.min <= number <= info.max and abs(number) < _LARGEST_EXACT_INTEGER


def _float_beside(number: float, compared: np.dtype[Any], values: Values, operator: str) -> float:
    """Return the neighbour of the number, in the values' type, that separates them as it does."""
    dtype = values.dtype.type
    with np.errstate(over="ignore"):
        neighbour = dtype(number)
    if not np.isfinite(neighbour):
        raise Untranslatable(f"the constant {number!r} is out of range of {values.dtype}")
    if compared.itemsize > values.dtype.itemsize:
        # The analysis compares with the number itself, not with the number rounded to the type.
        if operator in ("==", "!=") and float(neighbour) != number:
            raise Untranslatable(f"{number!r} is not a number of type {values.dtype}")
        if operator in (">", "<=") and float(neighbour) > number:
            neighbour = np.nextafter(neighbour, dtype(-np.inf))
        elif operator in (">=", "<") and float(neighbour) < number:
            neighbour = np.nextafter(neighbour, dtype(np.inf))
    return float(neighbour)


def _compared_in(values: Values, constant: Any) -> np.dtype[Any]:
    """Return the type in which this installation computes with values and a constant."""
    product = ak.Array(np.ones(1, values.dtype)) * constant
    return np.asarray(product).dtype
