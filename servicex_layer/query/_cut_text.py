"""Writes a mask as a cut of ``uproot-raw`` that keeps at least the events of the mask.

The analysis applies its own mask again, so a cut may keep more events than needed, and never fewer.
Each part is written in a direction: it may hold for more events, for fewer (below ``~``), or must
hold for exactly the same. What can't be written so is left out, or makes the whole untranslatable.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum
from typing import Any

import numpy as np

from servicex_layer.query._constants import (
    arithmetic_constant,
    comparable_constant,
    exactly_representable,
)
from servicex_layer.query._expression import (
    Arithmetic,
    Call,
    Column,
    Comparison,
    Constant,
    Expression,
    Item,
    Logic,
    Negation,
    Selection,
    Term,
    Unknown,
    Untranslatable,
    is_boolean,
    subexpressions,
)
from servicex_layer.query._functions import MIRRORED, ROUGH_NAMES
from servicex_layer.query._rounding import TOLERANCE, is_exact

__all__ = ["CutWriter", "Direction"]

_ORDERED = (">", ">=", "<", "<=")


class Direction(Enum):
    """How a translation may differ from what it translates."""

    MORE = "true for more events"
    FEWER = "true for fewer events"
    SAME = "true for the same events"

    @property
    def opposite(self) -> Direction:
        """The direction below ``~``."""
        if self is Direction.SAME:
            return self
        return Direction.FEWER if self is Direction.MORE else Direction.MORE


class CutWriter:
    """Write expressions in the language of ``uproot-raw``.

    Parameters
    ----------
    columns : collection of str
        The names of the input's columns. Some versions of Uproot take a function for the column of
        the same name.
    exact : bool
        Whether to leave out comparisons of rounded numbers.
    """

    def __init__(self, columns: Collection[str], *, exact: bool = False) -> None:
        self._columns = columns
        self._exact = exact

    def cut(self, mask: Term) -> str:
        """Write a mask as a cut. An event whose mask is ``None`` stays: it becomes ``None``.

        Raises
        ------
        Untranslatable
            If no part of the mask has a safe translation.
        """
        text = self.mask(mask, Direction.MORE)
        return self._call("fill_none", text, "True") if mask.values.optional else text

    # Truth values

    def mask(self, expression: Expression, direction: Direction) -> str:
        """Write truth values.

        Raises
        ------
        Untranslatable
            If there is no safe translation in this direction.
        """
        match expression:
            case Column(name, values) if values.is_boolean:
                return f"get({name!r})"
            case Negation(of):
                return f"(~{self.mask(of, direction.opposite)})"
            case Logic():
                return self._logic(expression, direction)
            case Call("any" | "all", (of,)):
                return self._call(expression.function, self.mask(of, direction), "axis=1")
            case Call("fill_none", (of, Constant(bool() as value))) if is_boolean(of):
                return self._call("fill_none", self.mask(of, direction), repr(value))
            case Call("isnan" | "isfinite" | "isinf" | "is_none", (of,)):
                if not is_exact(of) or _has_item(of):
                    raise Untranslatable(f"{expression.function} of numbers that may differ")
                return self._call(expression.function, self.value(of))
            case Selection(of, mask):
                return f"{self.mask(of, direction)}[{self._inner_mask(mask)}]"
            case Comparison():
                return self._comparison(expression, direction)
            case Unknown(reason):
                raise Untranslatable(reason)
        raise Untranslatable(f"{_name(expression)} as truth values")

    def _logic(self, logic: Logic, direction: Direction) -> str:
        parts, reasons = [], []
        for part in (logic.left, logic.right):
            try:
                parts.append(self.mask(part, direction))
            except Untranslatable as reason:
                reasons.append(reason)
        if reasons:
            # `a & b` implies `a`, and `a` implies `a | b`. With a value that may be None neither
            # holds: `None & False` is None, and such events stay.
            can_drop = {"&": Direction.MORE, "|": Direction.FEWER}[logic.operator] is direction
            if not parts or not can_drop or logic.values.optional:
                raise reasons[0]
            return parts[0]
        return f"({parts[0]} {logic.operator} {parts[1]})"

    def _inner_mask(self, mask: Expression) -> str:
        if isinstance(mask, Constant) or mask.values.optional:
            raise Untranslatable("a selection within lists by a mask that may be None")
        return self.mask(mask, Direction.SAME)

    # Comparisons

    def _comparison(self, comparison: Comparison, direction: Direction) -> str:
        left, operator, right = comparison.left, comparison.operator, comparison.right
        if isinstance(left, Constant):
            left, operator, right = right, MIRRORED[operator], left
        if isinstance(left, Constant):
            raise Untranslatable("a comparison of constants")
        has_item = _has_item(left) or _has_item(right)
        if has_item and (
            direction is Direction.SAME or comparison.values.optional or comparison.values.depth > 1
        ):
            raise Untranslatable("an item of a list that may be too short")
        counted = _counted_mask(left)
        if (
            counted is not None
            and isinstance(right, Constant)
            and operator in _ORDERED
            and direction is not Direction.SAME
        ):
            text = self._count_comparison(counted, operator, right, left, direction)
        elif is_exact(left) and is_exact(right):
            text = self._exact_comparison(left, operator, right)
        else:
            text = self._rough_comparison(left, operator, right, direction)
        if has_item:
            # The analysis itself raises an error for these events, if it gets to see them.
            return self._call("fill_none", text, repr(direction is Direction.MORE))
        return text

    def _count_comparison(
        self,
        counted: Expression,
        operator: str,
        right: Constant,
        left: Term,
        direction: Direction,
    ) -> str:
        """Compare the number of items for which a mask holds: it grows with the mask."""
        inner = direction if operator in (">", ">=") else direction.opposite
        count = self._call("sum", self.mask(counted, inner), "axis=1")
        return f"({count} {operator} {comparable_constant(right.value, left.values, operator)})"

    def _exact_comparison(self, left: Term, operator: str, right: Expression) -> str:
        if isinstance(right, Constant):
            # Versions of awkward differ in the type that `fill_none` returns.
            filled = _filled(left)
            constant = comparable_constant(right.value, filled.values, operator, left.values)
            return f"({self._side(left)} {operator} {constant})"
        kinds = {left.values.dtype.str[1:], right.values.dtype.str[1:]}
        if "u8" in kinds and len(kinds) > 1:
            # As integers, or as float64: that depends on the version of NumPy.
            raise Untranslatable("unsigned integers of 64 bits beside other numbers")
        return f"({self._side(left)} {operator} {self._side(right)})"

    def _side(self, expression: Term) -> str:
        """Write one side of an exact comparison; only there numbers may be widened."""
        match expression:
            case Call("fill_none", (of, Constant(fill))) if not isinstance(of, Constant):
                if _has_item(of) or not exactly_representable(fill, of.values):
                    raise Untranslatable("fill_none with a number of another type")
                return self._call("fill_none", self.value(of), repr(fill))
        return self.value(expression)

    def _rough_comparison(
        self, left: Expression, operator: str, right: Expression, direction: Direction
    ) -> str:
        """Compare with slack: certain to hold for fewer events, or not certain to fail for more.

        NaN and infinities of a sum depend on its order as well: a comparison with them is never
        certain.
        """
        if self._exact:
            raise Untranslatable("rounding decides")
        if direction is Direction.SAME:
            raise Untranslatable("rounding decides, and the mask must be exact here")
        if any(_is_short_float(part) for side in (left, right) for part in subexpressions(side)):
            raise Untranslatable("rounded numbers of 16 bits")
        first = self.value(left)
        second = self._beside(right, left)
        slack = f"{TOLERANCE} * ({self._size(left)} + {self._size(right)})"
        certain = {
            ">": f"{first} - {slack} > {second}",
            ">=": f"{first} - {slack} >= {second}",
            "<": f"{first} + {slack} < {second}",
            "<=": f"{first} + {slack} <= {second}",
            "!=": f"{self._call('absolute', f'{first} - {second}')} > {slack}",
        }
        if direction is Direction.FEWER and operator in certain:
            return f"({certain[operator]})"
        contrary = {">": "<=", ">=": "<", "<": ">=", "<=": ">", "==": "!="}
        if direction is Direction.MORE and operator in contrary:
            return f"(~({certain[contrary[operator]]}))"
        raise Untranslatable("equality of rounded numbers")

    # Numbers

    def value(self, expression: Expression) -> str:
        """Write numbers that are the same bit by bit, if they are not rounded.

        Raises
        ------
        Untranslatable
            If there is no such translation.
        """
        if is_boolean(expression):
            return self.mask(expression, Direction.SAME)
        match expression:
            case Column(name):
                return f"get({name!r})"
            case Arithmetic():
                return self._arithmetic(expression)
            case Selection(of, mask):
                return f"{self.value(of)}[{self._inner_mask(mask)}]"
            case Item(of, index):
                # The transformer has no events that may raise an error: None instead.
                stop = "" if index == -1 else str(index + 1)
                return self._call("firsts", f"{self.value(of)}[:, {index}:{stop}]", "axis=1")
            case Unknown(reason):
                raise Untranslatable(reason)
            case Call("fill_none"):
                raise Untranslatable("a number of fill_none in arithmetic")
            case Call():
                return self._function(expression)
        raise Untranslatable(_name(expression))

    def _arithmetic(self, arithmetic: Arithmetic) -> str:
        left, right = arithmetic.left, arithmetic.right
        if arithmetic.operator == "**":
            is_plain_power = (
                isinstance(right, Constant)
                and not isinstance(left, Constant)
                and not left.values.is_integer
                and is_exact(left)
            )
            if not is_plain_power:
                raise Untranslatable("a power of rounded numbers or integers")
        return f"({self._beside(left, right)} {arithmetic.operator} {self._beside(right, left)})"

    def _beside(self, expression: Expression, other: Expression) -> str:
        """Write an operand beside another one."""
        if not isinstance(expression, Constant):
            return self.value(expression)
        if isinstance(other, Constant):
            raise Untranslatable("arithmetic of constants")
        return arithmetic_constant(expression.value, other.values)

    def _function(self, call: Call) -> str:
        if call.function in ROUGH_NAMES and not all(map(is_exact, call.arguments)):
            raise Untranslatable(f"{call.function} of rounded numbers")
        if call.function in ("sqrt", "floor", "ceil", "rint", "trunc") and not is_exact(call):
            raise Untranslatable(f"{call.function} of rounded numbers")
        if call.function == "prod" and not is_exact(call):
            raise Untranslatable("the order of a product decides whether it overflows")
        options = (f"{name}={value!r}" for name, value in call.options)
        return self._call(call.function, *map(self.value, call.arguments), *options)

    def _size(self, expression: Expression) -> str:
        """Write the size of the numbers that a rounded number is made of."""
        match expression:
            case Constant(value):
                return repr(abs(float(value)))
            case _ if is_exact(expression):
                # As floats: the smallest integer has no absolute value.
                return self._call("absolute", f"1.0 * {self.value(expression)}")
            case Arithmetic("+" | "-", left, right):
                return f"({self._size(left)} + {self._size(right)})"
            case Arithmetic("*", left, right):
                return f"({self._size(left)} * {self._size(right)})"
            case Arithmetic("/", left, right) if is_exact(right):
                return f"({self._size(left)} / {self._size(right)})"
            case Arithmetic("**"):
                return f"({self._call('absolute', self.value(expression))} + 1)"
            case Call("sum" | "mean" as function, (of,)):
                return self._call(function, self._size(of), "axis=1")
            case Call("neg" | "absolute", (of,)):
                return self._size(of)
            case Call(function) if function in ROUGH_NAMES:
                return f"({self._call('absolute', self.value(expression))} + 1)"
            case Selection(of, mask):
                return f"{self._size(of)}[{self._inner_mask(mask)}]"
        raise Untranslatable(f"{_name(expression)} of rounded numbers")

    def _call(self, function: str, *arguments: Any) -> str:
        if function in self._columns:
            raise Untranslatable(f"{function!r} is a column, too")
        return f"{function}({', '.join(arguments)})"


def _filled(term: Term) -> Term:
    """Return the term whose missing values `fill_none` replaces, if it does."""
    match term:
        case Call("fill_none", (of, Constant())) if not isinstance(of, Constant):
            return of
    return term


def _is_short_float(expression: Expression) -> bool:
    return isinstance(expression, Column) and expression.values.dtype == np.float16


def _has_item(expression: Expression) -> bool:
    return any(isinstance(part, Item) for part in subexpressions(expression))


def _counted_mask(expression: Expression) -> Term | None:
    """Return the mask of ``num(x[mask])``, ``sum(mask)`` and ``count_nonzero(mask)``."""
    match expression:
        case Call("num", (Selection(_, mask),)):
            counted = mask
        case Call("sum" | "count_nonzero", (mask,)) if is_boolean(mask):
            counted = mask
        case _:
            return None
    return None if isinstance(counted, Constant) or counted.values.optional else counted


def _name(expression: Expression) -> str:
    return expression.function if isinstance(expression, Call) else type(expression).__name__
