"""Random events, masks and analyses, and whether a derived cut changes what they return."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import awkward as ak
import numpy as np

import servicex_layer as sxl
from servicex_layer.query import DerivedQuery
from servicex_layer.uproot_raw import expression_language

__all__ = [
    "FORM",
    "Outcome",
    "analysis_source",
    "events",
    "kept_by",
    "mask_source",
    "try_analysis",
    "try_mask",
]

_NUMBERS = {
    "f4": "float32",
    "f8": "float64",
    "i1": "int8",
    "i4": "int32",
    "i8": "int64",
    "u1": "uint8",
    "u4": "uint32",
    "u8": "uint64",
}
_LISTS = {"Muon_pt": "float32", "Muon_eta": "float32", "Muon_q": "int32", "Jet_pt": "float64"}
FORM = "{{{}}}".format(
    ", ".join(
        [f"{name}: {dtype}" for name, dtype in _NUMBERS.items()]
        + ["flag: bool", "trigger: bool"]
        + [f"{name}: var * {dtype}" for name, dtype in _LISTS.items()]
    )
)
_THRESHOLDS = (0.0, 0.1, 1.0, 2.0, 2.5, 20.0, 30.0, 30.1, -1.0)
_CONSTANTS = (
    *("0", "1", "2", "3", "30", "-1", "0.1", "2.5", "30.1", "1e9", "300", "16777217"),
    *("np.float32(30.1)", "np.float64(30.1)", "np.float64(0.1)", "np.int64(2)", "np.int32(30)"),
)
_COMPARISONS = (">", ">=", "<", "<=", "==", "!=")


# Events


def events(rng: random.Random, number: int = 60) -> ak.Array:
    """Return random events with NaN, infinities, and neighbours of the thresholds of masks."""
    columns: dict[str, Any] = {
        name: _numbers(rng, number, dtype) for name, dtype in _NUMBERS.items()
    }
    columns |= {name: np.array([rng.random() < 0.5 for _ in range(number)]) for name in _FLAGS}
    least = rng.choice((0, 0, 1))
    muons = [rng.randint(least, 4) for _ in range(number)]
    jets = [rng.randint(least, 3) for _ in range(number)]
    for name, dtype in _LISTS.items():
        counts = muons if name.startswith("Muon") else jets
        columns[name] = ak.unflatten(_numbers(rng, sum(counts), dtype), counts)
    return ak.Array(columns)


_FLAGS = ("flag", "trigger")


def _numbers(rng: random.Random, number: int, dtype: str) -> Any:
    kind = np.dtype(dtype)
    values = []
    for _ in range(number):
        value = rng.choice(_THRESHOLDS) if rng.random() < 0.7 else rng.uniform(-5, 60)
        if kind.kind == "f":
            near = kind.type(value)
            move = rng.random()
            if move < 0.2:
                near = np.nextafter(near, kind.type(np.inf))
            elif move < 0.4:
                near = np.nextafter(near, kind.type(-np.inf))
            elif move < 0.48:
                near = kind.type(rng.choice((np.nan, np.inf, -np.inf)))
            values.append(near)
        else:
            values.append(int(abs(value) if kind.kind == "u" else value))
    return np.array(values, dtype)


# Masks, as Python expressions of events with the name `e`


def mask_source(rng: random.Random, depth: int = 3, e: str = "e") -> str:
    """Return a random mask of events."""
    if depth == 0 or rng.random() < 0.35:
        return _simple_mask(rng, depth, e)
    first, second = mask_source(rng, depth - 1, e), mask_source(rng, depth - 1, e)
    return rng.choice(
        (
            f"({first} & {second})",
            f"({first} | {second})",
            f"({first} ^ {second})",
            f"~({first})",
            f"np.logical_and({first}, {second})",
            f"ak.fill_none({first}, {rng.choice(('True', 'False'))})",
        )
    )


def _simple_mask(rng: random.Random, depth: int, e: str) -> str:
    choice = rng.random()
    if choice < 0.1:
        return f"{e}.{rng.choice(_FLAGS)}"
    if choice < 0.25:
        return f"ak.{rng.choice(('any', 'all'))}({_list_mask(rng, e, depth)}, axis=1)"
    if choice < 0.3:
        return f"np.{rng.choice(('isnan', 'isfinite'))}({e}.{rng.choice(('f4', 'f8'))})"
    if choice < 0.35:
        return f"ak.is_none({_number(rng, e, depth)})"
    return _comparison(rng, lambda: _number(rng, e, depth))


def _comparison(rng: random.Random, number: Callable[[], str]) -> str:
    operator = rng.choice(_COMPARISONS)
    if rng.random() < 0.25:
        return f"({number()} {operator} {number()})"
    constant = rng.choice(_CONSTANTS)
    if rng.random() < 0.2 and not constant.startswith("np"):
        return f"({constant} {operator} {number()})"
    return f"({number()} {operator} {constant})"


def _number(rng: random.Random, e: str, depth: int) -> str:
    column, other = (f"{e}.{rng.choice(list(_NUMBERS))}" for _ in range(2))
    lists = f"{e}.{rng.choice(list(_LISTS))}"
    mask = _list_mask(rng, e, depth)
    return rng.choice(
        (
            *(column,) * 6,
            f"abs({column})",
            f"({column} {rng.choice('+-*/')} {other})",
            f"({column} {rng.choice('+-*/')} {rng.choice(_CONSTANTS[:8])})",
            f"np.sqrt({e}.f4)",
            f"np.cos({e}.f4)",
            f"np.exp({e}.f8)",
            f"({e}.f4 ** 2)",
            f"({e}.i4 % 3)",
            f"({e}.u4 & 3)",
            f"ak.num({lists})",
            f"ak.num({e}.Muon_pt[{mask}])",
            f"ak.sum({mask}, axis=1)",
            f"ak.count_nonzero({mask}, axis=1)",
            f"ak.{rng.choice(('sum', 'max', 'min', 'mean', 'prod'))}({lists}, axis=1)",
            f"ak.sum({e}.Muon_pt[{mask}], axis=-1)",
            f"ak.max({e}.Muon_pt[{mask}], axis=1)",
            f"ak.fill_none(ak.max({lists}, axis=1), {rng.choice(_CONSTANTS[:8])})",
            f"ak.fill_none(ak.firsts({lists}), {rng.choice(_CONSTANTS[:8])})",
            f"ak.firsts({lists})",
            f"{lists}[:, 0]",
        )
    )


def _list_mask(rng: random.Random, e: str, depth: int) -> str:
    def number() -> str:
        return rng.choice(
            (
                f"{e}.Muon_pt",
                f"abs({e}.Muon_eta)",
                f"{e}.Muon_q",
                f"({e}.Muon_pt * {e}.Muon_eta)",
                f"({e}.Muon_pt - {e}.f4)",
            )
        )

    mask = _comparison(rng, number)
    if depth > 0 and rng.random() < 0.3:
        other = _comparison(rng, number)
        return rng.choice((f"({mask} & {other})", f"({mask} | {other})", f"~({mask})"))
    return mask


# Outcomes


@dataclass(frozen=True)
class Outcome:
    """What became of a mask or an analysis.

    Parameters
    ----------
    source : str
        Its source.
    query : DerivedQuery
        What was derived from it.
    exact : bool
        Whether the cut keeps no event in vain.
    problem : str
        What the cut changes; empty if it changes nothing.
    """

    source: str
    query: DerivedQuery
    exact: bool
    problem: str


def kept_by(cut: str, array: ak.Array, **functions: Any) -> Any:
    """Return which events a cut keeps, as a transformer evaluates it with these functions."""
    scope = {"get": array.__getitem__, **expression_language().functions, **functions}
    return np.asarray(ak.to_numpy(eval(cut, scope))) != 0  # noqa: S307 - a cut is an expression


def try_mask(source: str, array: ak.Array) -> Outcome | None:
    """Derive a cut of a mask and compare it; ``None`` if the mask itself fails."""

    def mask_of(e: Any) -> Any:
        return eval(source, {"e": e, "ak": ak, "np": np})  # noqa: S307 - made above

    with np.errstate(all="ignore"):
        try:
            mask = mask_of(array)
            query = sxl.derive_query(lambda e: e.f8[mask_of(e)], FORM, "Events")
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
        needed = np.asarray(ak.to_numpy(ak.fill_none(mask, True)))
        if query.cut is None:
            return Outcome(source, query, False, "")
        kept = kept_by(query.cut, array)
    lost = needed & ~kept
    problem = f"the cut drops event {lost.argmax()}: {array[lost.argmax()].tolist()}"
    return Outcome(source, query, bool((needed == kept).all()), problem if lost.any() else "")


_OUTPUTS = (
    "{a}.f8",
    "{a}.Muon_pt",
    "{a}.Muon_pt[{a}.Muon_pt > 2]",
    "ak.num({a}.Jet_pt)",
    "ak.sum({a}.i4, axis=None)",
    "ak.count({a}.Muon_pt, axis=None)",
    "ak.flatten({a}.Muon_q)",
    "ak.num({a}, axis=0)",
    "ak.max({a}.i8, axis=0)",
    "ak.fill_none(ak.firsts({a}.Muon_eta), -9)",
    "{a}.Jet_pt[:, :1]",
)


def analysis_source(rng: random.Random) -> str:
    """Return a random analysis: chains of selections, and what is returned after them."""
    names, lines = ["e"], ["def analysis(e):"]
    for number in range(rng.randint(1, 3)):
        before = rng.choice(names)
        lines.append(f"    a{number} = {before}[{mask_source(rng, 2, before)}]")
        names.append(f"a{number}")
    outputs = [
        rng.choice(_OUTPUTS).format(a=rng.choice(names[1:] if rng.random() < 0.9 else names))
        for _ in range(rng.randint(1, 3))
    ]
    return "\n".join([*lines, f"    return [{', '.join(outputs)}]"])


def try_analysis(source: str, array: ak.Array) -> Outcome | None:
    """Derive an analysis's query and compare outputs; ``None`` if it fails on all events."""
    scope: dict[str, Any] = {"ak": ak, "np": np}
    exec(source, scope)  # noqa: S102 - made above
    analysis = scope["analysis"]
    with np.errstate(all="ignore"):
        try:
            expected = analysis(array)
            query = sxl.derive_query(analysis, FORM, "Events")
        except Exception:  # noqa: BLE001 - whatever a random analysis raises
            return None
        selected = array if query.cut is None else array[kept_by(query.cut, array)]
        # Selections that nothing is returned after touch columns as well, but only here.
        unread = set(array.fields) - set(query.columns)
        selected = ak.Array(
            {
                name: ak.zeros_like(selected[name]) if name in unread else selected[name]
                for name in array.fields
            }
        )
        try:
            outputs = analysis(selected)
        except Exception as error:  # noqa: BLE001 - this is what is looked for
            return Outcome(source, query, False, f"fails on the selected events: {error}")
    same = all(map(_are_equal, expected, outputs))
    return Outcome(source, query, False, "" if same else f"{expected} became {outputs}")


def _are_equal(first: Any, second: Any) -> bool:
    if isinstance(first, ak.Array):
        return bool(ak.array_equal(first, second, equal_nan=True, check_parameters=False))
    return bool(np.array_equal(first, second, equal_nan=first is not None))
