"""What a layer computes for each event, by the function that it calls.

Only functions that are known to keep events apart, and in order, are interpreted. Each of them
either has an expression, or is passed through as unknown values of the same events.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import awkward as ak
import numpy as np
from awkward.forms import Form

from servicex_layer.query._dask_awkward import FUNCTIONS, LayerCall, Literal
from servicex_layer.query._expression import (
    Arithmetic,
    Call,
    Comparison,
    Constant,
    Expression,
    Logic,
    Negation,
    Term,
    Unknown,
    is_boolean,
)
from servicex_layer.query._functions import (
    ARITHMETIC,
    COMPARISONS,
    EXACT,
    INTEGER_ARITHMETIC,
    LOGIC,
    PREDICATES,
    ROUGH,
)
from servicex_layer.query._per_event import NotPerEvent, PerEvent, item_of_lists, select_in_lists
from servicex_layer.query._values import Values, values_of

__all__ = ["interpret", "is_event_mask", "is_known"]

Argument = PerEvent | Literal

# Properties and operators of these packages' arrays work within events.
_TRUSTED_PACKAGES = ("awkward", "coffea", "vector")

_REDUCERS: dict[Any, str] = {
    ak.all: "all",
    ak.any: "any",
    ak.count: "count",
    ak.count_nonzero: "count_nonzero",
    ak.mean: "mean",
    ak.num: "num",
    ak.prod: "prod",
    ak.sum: "sum",
}
_POSITIONS = (ak.argmax, ak.argmin)
# These keep the number of events with any arguments.
_ALWAYS_PER_EVENT = ("is_none", "method", "property", "where", "with_field", "zip", "zip_list")
# These do so within lists.
_PER_EVENT_IN_LISTS = (
    "argcartesian",
    "argcombinations",
    "argsort",
    "cartesian",
    "combinations",
    "firsts",
    "pad_none",
    "sort",
)


def interpret(
    call: LayerCall, arguments: tuple[Argument, ...], metas: tuple[Any, ...], meta: Any
) -> PerEvent:
    """Return what a call computes for each event.

    Parameters
    ----------
    call : LayerCall
        The call.
    arguments : tuple
        The values of its arguments.
    metas : tuple
        The arguments as arrays without data; literals as they are.
    meta : object
        The result as an array without data.

    Raises
    ------
    NotPerEvent
        If the call mixes events, or its function is unknown.
    """
    arrays = [argument for argument in arguments if isinstance(argument, PerEvent)]
    literals = [argument.value for argument in arguments if isinstance(argument, Literal)]
    if (
        not isinstance(meta, ak.Array)
        or not arrays
        or not all(map(_is_same_for_all_events, [*literals, *call.keywords.values()]))
        or not all(map(_is_trusted, metas))
    ):
        raise NotPerEvent
    if call.function is operator.getitem:
        return _checked(_getitem(arguments, metas, meta), meta)
    if len({array.masks for array in arrays}) > 1:
        raise NotPerEvent
    if isinstance(call.function, np.ufunc):
        if call.keywords:
            raise NotPerEvent
        return _checked(_ufunc(call.function, arguments, metas, meta), meta)
    return _checked(_awkward_function(call, arguments, metas, meta), meta)


def is_known(function: Any) -> bool:
    """Return whether `interpret` knows a function, so that calling it does no harm."""
    is_operator = function is operator.getitem or isinstance(function, np.ufunc)
    return is_operator or _name(function) is not None


def is_event_mask(meta: Any) -> bool:
    """Return whether an array without data holds one truth value, or ``None``, per event."""
    values = values_of(meta.layout.form)
    return values is not None and values.is_boolean and values.depth == 1


def _is_same_for_all_events(value: Any) -> bool:
    """Return whether a literal is no array, whose order would be that of all events."""
    if isinstance(value, list | tuple):
        return all(map(_is_same_for_all_events, value))
    return value is None or isinstance(value, bool | int | float | str | np.generic | slice)


def _is_trusted(meta: Any) -> bool:
    if not isinstance(meta, ak.Array):
        return True
    return type(meta).__module__.partition(".")[0] in _TRUSTED_PACKAGES


def _checked(result: PerEvent, meta: ak.Array) -> PerEvent:
    """Drop an expression whose values are not what awkward makes: it was broadcast, or the like."""
    expression = result.expression
    if expression is None:
        return result
    if expression.values != values_of(meta.layout.form):
        return replace(result, expression=None, reason="values of another shape or type")
    return result


# Selections


def _getitem(arguments: tuple[Argument, ...], metas: tuple[Any, ...], meta: ak.Array) -> PerEvent:
    of, key = arguments
    if not isinstance(of, PerEvent):
        raise NotPerEvent
    if isinstance(key, PerEvent):
        return _getitem_by_array(of, key, metas[1])
    match key.value:
        case str() as name:
            return of[name]
        case [*names] if names and all(isinstance(name, str) for name in names):
            if isinstance(key.value, list):
                return replace(of, expression=None)
            for name in names:
                of = of[name]
            return of
        case (slice() as events, int() | np.integer() as index) if events == slice(
            None
        ) and not isinstance(index, bool):
            return item_of_lists(of, int(index))
        case (slice() as events, *_) if events == slice(None):
            return PerEvent(of.masks, field=_unknown_fields(of, meta), reason="a slice of lists")
    raise NotPerEvent


def _getitem_by_array(of: PerEvent, key: PerEvent, key_meta: ak.Array) -> PerEvent:
    if of.masks != key.masks:
        raise NotPerEvent
    form = key_meta.layout.form
    values = values_of(form)
    # NumPy's rules for arrays of fixed size move events.
    if values is None or values.depth < 2 or not _is_jagged(form):
        raise NotPerEvent
    if values.is_boolean:
        return select_in_lists(of, key)
    field = None if of.field is None else _unknown_field(of, "an index within lists")
    return PerEvent(of.masks, field=field, reason="an index within lists")


def _is_jagged(form: Form) -> bool:
    while not form.is_numpy:
        if form.is_regular:
            return False
        form = form.content
    return True


def _unknown_field(of: PerEvent, reason: str) -> Callable[[str], PerEvent]:
    return lambda _name: of.unknown(reason)


def _unknown_fields(of: PerEvent, meta: ak.Array) -> Callable[[str], PerEvent] | None:
    return _unknown_field(of, "a field of a new record") if meta.fields else None


# Functions of NumPy


def _ufunc(
    function: np.ufunc, arguments: tuple[Argument, ...], metas: tuple[Any, ...], meta: ak.Array
) -> PerEvent:
    (first, *_) = (argument for argument in arguments if isinstance(argument, PerEvent))
    operands = [_operand(*pair) for pair in zip(arguments, metas, strict=True)]
    values = values_of(meta.layout.form)
    if values is None or any(operand is None for operand in operands):
        reasons = [argument.reason for argument in arguments if isinstance(argument, PerEvent)]
        reason = next(filter(None, reasons), f"numpy.{function.__name__}")
        return PerEvent(first.masks, field=_unknown_fields(first, meta), reason=reason)
    expression = _numpy_expression(function, [o for o in operands if o is not None], values)
    if expression is None:
        return first.unknown(f"numpy.{function.__name__}")
    return PerEvent(first.masks, expression)


def _operand(argument: Argument, meta: Any) -> Expression | None:
    if isinstance(argument, PerEvent):
        values = values_of(meta.layout.form)
        if argument.expression is not None or values is None:
            return argument.expression
        return Unknown(argument.reason or "it is no expression of columns", values)
    value = argument.value
    return Constant(value) if isinstance(value, bool | int | float | np.generic) else None


def _numpy_expression(
    function: np.ufunc, operands: list[Expression], values: Values
) -> Term | None:
    are_booleans = all(map(is_boolean, operands))
    if function in COMPARISONS:
        return Comparison(COMPARISONS[function], operands[0], operands[1], values)
    if function in LOGIC and are_booleans:
        return Logic(LOGIC[function], operands[0], operands[1], values)
    if function in (np.bitwise_xor, np.logical_xor) and are_booleans:
        return Comparison("!=", operands[0], operands[1], values)
    if function in (np.invert, np.logical_not) and are_booleans:
        return Negation(operands[0], values)
    if are_booleans:
        return None
    if function in INTEGER_ARITHMETIC and all(map(_is_integer, operands)):
        return Arithmetic(INTEGER_ARITHMETIC[function], operands[0], operands[1], values)
    if function in ARITHMETIC:
        return Arithmetic(ARITHMETIC[function], operands[0], operands[1], values)
    for names in (EXACT, PREDICATES, ROUGH):
        if function in names:
            return Call(names[function], tuple(operands), values)
    return None


def _is_integer(operand: Expression) -> bool:
    if isinstance(operand, Constant):
        return type(operand.value) is int
    return operand.values.dtype.kind in "iu"


# Functions of awkward


def _awkward_function(
    call: LayerCall, arguments: tuple[Argument, ...], metas: tuple[Any, ...], meta: ak.Array
) -> PerEvent:
    first = arguments[0]
    name = _name(call.function)
    if name is None or not isinstance(first, PerEvent):
        raise NotPerEvent
    options = _options(call)
    if name in _REDUCERS.values() or name in ("max", "min", "position"):
        return _reducer(name, first, options, metas[0], meta)
    if name in _PER_EVENT_IN_LISTS and not _is_within_events(options.get("axis", 1), metas[0]):
        raise NotPerEvent
    interpreter = _INTERPRETERS.get(name)
    if interpreter is not None:
        values = values_of(meta.layout.form)
        result = interpreter(_AwkwardCall(call.function, first, arguments, options, values))
        if result is not None:
            return result
    elif name not in _ALWAYS_PER_EVENT and name not in _PER_EVENT_IN_LISTS:
        raise NotPerEvent
    return PerEvent(first.masks, field=_unknown_fields(first, meta), reason=f"awkward's {name}")


def _name(function: Any) -> str | None:
    if any(function is position for position in _POSITIONS):
        return "position"
    if function is ak.mask:
        return "where"
    if isinstance(function, type(ak.num)):
        return _REDUCERS.get(function)
    return next((name for name, kind in FUNCTIONS.items() if type(function) is kind), None)


def _options(call: LayerCall) -> dict[str, Any]:
    """Return the keyword arguments of a function, wherever dask-awkward keeps them."""
    attributes = vars(call.function) if type(call.function) in FUNCTIONS.values() else {}
    own = attributes.get("kwargs", {})
    options = {**attributes, **own, **call.keywords}
    return {name: value for name, value in options.items() if value is not None or name == "axis"}


def _is_within_events(axis: Any, meta: Any) -> bool:
    """Return whether an axis is one of lists, not that of events."""
    if not isinstance(axis, int) or isinstance(axis, bool):
        return False
    least, most = meta.layout.minmax_depth
    return axis >= 1 or (axis < 0 and least == most and least + axis >= 1)


def _reducer(
    name: str, of: PerEvent, options: dict[str, Any], of_meta: Any, meta: ak.Array
) -> PerEvent:
    axis = options.get("axis", 1 if name == "num" else None)
    if not _is_within_events(axis, of_meta):
        raise NotPerEvent
    unknown = PerEvent(of.masks, field=_unknown_fields(of, meta), reason=of.reason or f"ak.{name}")
    counted = _counted(of, of_meta) if name == "num" else of.expression
    values = values_of(meta.layout.form)
    if counted is None or values is None:
        return unknown
    if (
        name == "position"
        or counted.values.depth != 2
        or options.get("keepdims")
        or "initial" in options
    ):
        return unknown
    written: tuple[tuple[str, Any], ...] = (("axis", 1),)
    if name in ("max", "min"):
        written += (("mask_identity", options.get("mask_identity", True)),)
    elif options.get("mask_identity"):
        return unknown
    return PerEvent(of.masks, Call(name, (counted,), values, written))


def _counted(of: PerEvent, meta: Any) -> Term | None:
    """Return lists of the same lengths as the array's: itself, or a field of its records."""
    if of.field is None:
        return of.expression
    for name in meta.fields:
        expression = of[name].expression
        if expression is not None and expression.values.depth == 2:
            return expression
    return None


@dataclass(frozen=True)
class _AwkwardCall:
    """A call of a function of awkward.

    Parameters
    ----------
    function : object
        The function.
    of : PerEvent
        Its first argument.
    arguments : tuple
        All arguments.
    options : dict
        Its keyword arguments.
    values : Values or None
        The kind of the result, if that is plain numbers.
    """

    function: Any
    of: PerEvent
    arguments: tuple[Argument, ...]
    options: dict[str, Any]
    values: Values | None


# One function for each of awkward's whose values may be known; they return ``None`` if they aren't.


def _fill_none(call: _AwkwardCall) -> PerEvent | None:
    value = call.function.value
    if call.of.expression is None or call.values is None or type(value) not in (bool, int, float):
        return None
    is_same_kind = isinstance(value, bool) == call.of.expression.values.is_boolean
    if call.of.expression.values.depth != 1 or not is_same_kind:
        return None
    return PerEvent(
        call.of.masks, Call("fill_none", (call.of.expression, Constant(value)), call.values)
    )


def _firsts(call: _AwkwardCall) -> PerEvent | None:
    if call.of.expression is None or call.of.expression.values.depth != 2 or call.values is None:
        return None
    if call.options.get("axis", 1) != 1:
        return None
    return PerEvent(
        call.of.masks, Call("firsts", (call.of.expression,), call.values, (("axis", 1),))
    )


def _is_none(call: _AwkwardCall) -> PerEvent | None:
    if call.of.expression is None or call.of.expression.values.depth != 1 or call.values is None:
        return None
    if call.options.get("axis", 0) != 0:
        return None
    return PerEvent(call.of.masks, Call("is_none", (call.of.expression,), call.values))


def _zip(call: _AwkwardCall) -> PerEvent | None:
    names = list(call.function.keys)
    if call.options.get("optiontype_outside_record") or len(names) != len(call.arguments):
        return None
    fields = {
        name: argument
        for name, argument in zip(names, call.arguments, strict=True)
        if isinstance(argument, PerEvent)
    }
    return PerEvent(call.of.masks, field=partial(_known_field, fields, PerEvent(call.of.masks)))


def _with_field(call: _AwkwardCall) -> PerEvent | None:
    if len(call.arguments) != 2 or not isinstance(call.function.where, str):
        return None
    added = call.arguments[1]
    of = call.of
    fields = {
        call.function.where: added if isinstance(added, PerEvent) else of.unknown("a constant")
    }
    return replace(of, expression=None, field=partial(_known_field, fields, of))


def _known_field(fields: Mapping[str, PerEvent], otherwise: PerEvent, name: str) -> PerEvent:
    return fields[name] if name in fields else otherwise[name]


def _with_name(call: _AwkwardCall) -> PerEvent | None:
    return call.of


_INTERPRETERS: dict[str, Callable[[_AwkwardCall], PerEvent | None]] = {
    "fill_none": _fill_none,
    "firsts": _firsts,
    "is_none": _is_none,
    "with_field": _with_field,
    "with_name": _with_name,
    "zip": _zip,
}
