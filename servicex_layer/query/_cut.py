"""From the uses of events to a cut that keeps all events that any use may see."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from servicex_layer.query._cut_text import CutWriter
from servicex_layer.query._expression import Untranslatable
from servicex_layer.query._lists import may_fail
from servicex_layer.query._uses import EventUses, Mask, Use, short_name

__all__ = ["Cut", "derive_cut"]


@dataclass(frozen=True)
class Cut:
    """A cut, if there is one, and what it leaves out and why."""

    text: str | None
    notes: tuple[str, ...] = ()


def derive_cut(events: EventUses, columns: Collection[str], *, exact: bool = False) -> Cut:
    """Return the OR, over all uses of events, of the AND of the masks before each use.

    Parameters
    ----------
    events : EventUses
        The uses of events.
    columns : collection of str
        The columns of the input.
    exact : bool
        Whether to leave out comparisons of rounded numbers.
    """
    for use in events.uses:
        if not use.masks:
            return Cut(None, (f"{use.by} uses events before any selection",))
    writer = CutWriter(columns, exact=exact)
    texts: dict[str, str] = {}
    notes: list[str] = []
    reachable = [_until_none(use, events.masks) for use in events.uses]
    for name in dict.fromkeys(mask for masks in reachable for mask in masks):
        try:
            texts[name] = _write(writer, events.masks[name])
        except Untranslatable as reason:
            notes.append(f"the mask {short_name(name)!r}: {reason}")
    selections = [
        tuple(dict.fromkeys(texts[mask] for mask in masks if mask in texts)) for masks in reachable
    ]
    if not all(selections):
        return Cut(None, tuple(sorted(notes)))
    # Sorted: the order of layers differs from graph to graph.
    return Cut(_disjunction(sorted(set(selections))) or None, tuple(sorted(notes)))


def _until_none(use: Use, masks: dict[str, Mask]) -> tuple[str, ...]:
    """Return the masks of a use up to the first that may be ``None``.

    An event whose mask is ``None`` becomes ``None``, and so do the masks after it: it stays.
    """
    for number, name in enumerate(use.masks):
        if masks[name].optional:
            return use.masks[: number + 1]
    return use.masks


def _write(writer: CutWriter, mask: Mask) -> str:
    if mask.expression is None:
        raise Untranslatable(mask.reason or "it is no expression of columns")
    if mask.after and may_fail(mask.expression):
        # The transformer computes it for all events, also for those that fail the masks before.
        raise Untranslatable("it may fail for events that an earlier selection drops")
    return writer.cut(mask.expression)


def _disjunction(selections: Sequence[tuple[str, ...]]) -> str:
    """Write an OR of ANDs, with the terms that all have in common in front."""
    common = [text for text in selections[0] if all(text in other for other in selections)]
    rest = [[text for text in selection if text not in common] for selection in selections]
    if all(rest):
        alternatives = [f"({' & '.join(texts)})" if len(texts) > 1 else texts[0] for texts in rest]
        common.append(f"({' | '.join(alternatives)})" if len(alternatives) > 1 else alternatives[0])
    return " & ".join(common)
