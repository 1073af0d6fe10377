"""Each trap of a cut has a rule, and each rule has a test that fails without it.

`MUTANTS` switches the rules off one by one. A trap is an analysis whose cut would drop an event
that it needs, or fail in the transformer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import awkward as ak
import numpy as np
import pytest
from random_analyses import kept_by  # type: ignore[import-not-found]

import servicex_layer as sxl
from servicex_layer.query import _constants, _cut, _cut_text
from servicex_layer.query._cut_text import CutWriter, Direction
from servicex_layer.query._expression import Item, Logic, Untranslatable

FORM = (
    "{x: float32, y: float64, i: int32, u: uint32, u8: uint64, flag: bool, w: float64, "
    "Muon_pt: var * float32, Muon_eta: var * float32, Jet_pt: var * float32}"
)
ABOVE = np.nextafter(np.float32(30.1), np.float32(np.inf))
EVENTS = ak.Array(
    {
        "x": np.array([30.1, ABOVE, np.nan, 0, 1e8], "f4"),
        "y": np.array([1.0, 2.0, 3.0, 4.0, 5.0]),
        "i": np.array([1, 2, 3, 4, 5], "i4"),
        "u": np.array([1, 2, 3, 4, 2**32 - 1], "u4"),
        "u8": np.array([1, 2, 3, 4, 2**63 + 1], "u8"),
        "flag": [True, False, True, False, True],
        "w": [1.0, 2.0, 3.0, 4.0, 5.0],
        "Muon_pt": ak.values_astype([[30.1, 20], [], [30.5, 1e8, -1e8], [5], [50, 40]], "f4"),
        "Muon_eta": ak.values_astype([[1, 2], [], [0, 1, 2], [1], [2, 0.5]], "f4"),
        "Jet_pt": ak.values_astype([[1], [2, 3], [], [5], [6]], "f4"),
    }
)


def chained(first: Callable[[Any], Any], second: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return an analysis with one selection after the other."""

    def analysis(events: Any) -> Any:
        selected = events[first(events)]
        return selected.w[second(selected)]

    return analysis


def selected_by(mask: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda events: events.w[mask(events)]


def after_a_mask_with_none(events: Any) -> Any:
    muons = ak.zip({"pt": events.Muon_pt})
    some = muons[ak.max(events.Muon_pt, axis=1) > 0]
    return some[ak.num(some) > 0].pt


def result_changes(analysis: Callable[[Any], Any], form: str = FORM) -> bool:
    """Return whether the cut changes the result, or fails where the analysis does not."""
    expected = analysis(EVENTS)
    query = sxl.derive_query(analysis, form, "Events")
    if query.cut is None:
        return False
    try:
        kept = kept_by(query.cut, EVENTS, sum=reversed_sum)
    except (ValueError, TypeError, IndexError):
        return True
    return bool(analysis(EVENTS[kept]).tolist() != expected.tolist())


def reversed_sum(array: ak.Array, axis: int) -> ak.Array:
    """Add as another version of awkward might: from the last item to the first."""
    return ak.sum(array[:, ::-1], axis=axis)


TRAPS = {
    "a NumPy constant beside float32": selected_by(lambda e: e.x > np.float64(30.1)),
    "a fraction beside integers": selected_by(lambda e: e.i > 2.5),
    "half of a mask with None": selected_by(
        lambda e: (ak.max(e.Muon_pt, axis=1) > np.maximum(e.x, 1)) & (e.i > 2)
    ),
    "a selection after a mask with None": after_a_mask_with_none,
    "a mask with None": selected_by(lambda e: ak.max(e.Muon_pt, axis=1) > 0),
    "an item of lists that may be too short": chained(
        lambda e: ak.num(e.Muon_pt) > 0, lambda e: e.Muon_pt[:, 0] > 30
    ),
    "lists of different lengths in a second selection": chained(
        lambda e: ak.num(e.Muon_pt) == ak.num(e.Jet_pt),
        lambda e: ak.any(e.Muon_pt > e.Jet_pt, axis=1),
    ),
    "a sum that is rounded": selected_by(lambda e: ak.sum(e.Muon_pt, axis=1) > 31),
    "a sum that is rounded, under not": selected_by(lambda e: ~(ak.sum(e.Muon_pt, axis=1) <= 31)),
    "a part that can't be written, under not": selected_by(
        lambda e: ~((e.i > 2) & (np.maximum(e.x, 1) > 1e9))
    ),
    "an index that moves events": lambda e: e.w[ak.values_astype(5 - e.i, "int64")][e.flag],
    "sums of weights beside the selection": lambda e: ak.concatenate(
        [e.w[e.flag], ak.singletons(e.w)[:, 0]]
    ),
}


@pytest.mark.parametrize("trap", TRAPS)
def test_no_trap_changes_a_result(trap: str):
    assert not result_changes(TRAPS[trap])


def as_nearest_float(number: float, *_: Any) -> float:
    return float(np.float32(number))


def as_required(self: CutWriter, logic: Logic, direction: Direction) -> str:
    never_none = replace(logic, values=replace(logic.values, optional=False))
    return write_logic(self, never_none, direction)


def always_droppable(self: CutWriter, logic: Logic, direction: Direction) -> str:
    try:
        return write_logic(self, logic, direction)
    except Untranslatable:
        return self.mask(logic.left, direction)


def drop_none(self: CutWriter, mask: Any) -> str:
    return f"fill_none({self.mask(mask, Direction.MORE)}, False)"


def item(self: CutWriter, expression: Any) -> str:
    if isinstance(expression, Item):
        return f"{self.value(expression.of)}[:, {expression.index}]"
    return write_value(self, expression)


write_logic, write_value = CutWriter._logic, CutWriter.value

MUTANTS: dict[str, tuple[Any, str, Any]] = {
    "a NumPy constant beside float32": (_constants, "_float_beside", as_nearest_float),
    "half of a mask with None": (CutWriter, "_logic", as_required),
    "a selection after a mask with None": (_cut, "_until_none", lambda use, _masks: use.masks),
    "a mask with None": (CutWriter, "cut", drop_none),
    "an item of lists that may be too short": (CutWriter, "value", item),
    "lists of different lengths in a second selection": (_cut, "may_fail", lambda _mask: False),
    "a sum that is rounded": (_cut_text, "is_exact", lambda _expression: True),
    "a sum that is rounded, under not": (_cut_text, "is_exact", lambda _expression: True),
    "a part that can't be written, under not": (CutWriter, "_logic", always_droppable),
}
"""The function that is the rule of a trap, and one in its place without the rule."""


@pytest.mark.parametrize("trap", MUTANTS)
def test_without_its_rule_a_trap_changes_the_result(trap: str, monkeypatch: pytest.MonkeyPatch):
    owner, name, without_rule = MUTANTS[trap]
    monkeypatch.setattr(owner, name, without_rule)
    assert result_changes(TRAPS[trap])


def cut_of(mask: Callable[[Any], Any], **options: Any) -> str | None:
    return sxl.derive_query(selected_by(mask), FORM, "Events", **options).cut


@pytest.mark.parametrize(
    ("mask", "cut"),
    [
        (lambda e: e.x > 30.1, "(get('x') > 30.100000381469727)"),
        (lambda e: e.x > np.float64(30.1), "(get('x') > 30.099998474121094)"),
        (lambda e: e.x < np.float64(30.1), "(get('x') < 30.100000381469727)"),
        (lambda e: e.y > 30.1, "(get('y') > 30.1)"),
        (lambda e: e.x > 30, "(get('x') > 30.0)"),
        (lambda e: e.i > 2.5, "(get('i') > 2)"),
        (lambda e: e.i >= 2.5, "(get('i') >= 3)"),
        (lambda e: e.u > 1, "(get('u') > 1)"),
        (lambda e: e.u > -1, None),
        (lambda e: e.x == np.float64(30.1), None),
        (lambda e: e.i == 2.5, None),
        (lambda e: e.u8 > e.i, None),
        (lambda e: e.u8 > 2**60, None),
        (lambda e: e.x > np.inf, None),
        (lambda e: e.x * np.float64(2) > 3, None),
        (lambda e: ak.prod(e.Muon_pt, axis=1) > 3, None),
        (lambda e: np.sqrt(ak.sum(e.Muon_pt, axis=1)) > 3, None),
        (lambda e: ak.sum(e.Muon_pt, axis=1) != 3, None),
    ],
)
def test_constants_and_rounded_numbers_are_written_so_that_versions_agree(mask: Any, cut: Any):
    assert cut_of(mask) == cut


def test_axis_is_written_by_name():
    # Servers since 2025 fix the argument by its name, and fail if it has a position.
    assert cut_of(lambda e: ak.any(e.Muon_pt > 3, axis=-1)) == "any((get('Muon_pt') > 3.0), axis=1)"
    assert cut_of(lambda e: ak.num(e.Muon_pt) > 1) == "(num(get('Muon_pt'), axis=1) > 1)"


def test_a_column_called_like_a_function_is_no_part_of_a_cut():
    form = "{any: var * int32, w: float64}"
    analysis = selected_by(lambda e: ak.any(e["any"] > 2, axis=1))
    notes = sxl.derive_query(analysis, form, "Events").notes
    assert "'any' is a column, too" in notes[0]


def test_only_behaviors_of_trusted_packages_keep_events_apart():
    class Momentum(ak.Array):  # type: ignore[misc]
        @property
        def shuffled(self) -> Any:
            return self.pt[::-1]

    behavior = {("*", "Momentum"): Momentum}

    def analysis(events: Any) -> Any:
        muons = ak.zip({"pt": events.x}, with_name="Momentum", behavior=behavior)
        return muons.shuffled[events.flag]

    assert sxl.derive_query(analysis, FORM, "Events").cut is None


def test_vectors_keep_events_apart():
    import vector

    def analysis(events: Any) -> Any:
        muons = ak.zip(
            {
                "pt": events.Muon_pt,
                "eta": events.Muon_eta,
                "phi": events.Muon_eta,
                "mass": events.Muon_eta,
            },
            with_name="Momentum4D",
            behavior=vector.backends.awkward.behavior,
        )
        good = muons[muons.pt > 20]
        return good[ak.num(good) >= 2].E

    query = sxl.derive_query(analysis, FORM, "Events")
    assert query.cut == "(sum((get('Muon_pt') > 20.0), axis=1) >= 2)"
