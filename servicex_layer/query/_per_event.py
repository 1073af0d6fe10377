"""Values that belong to single events: what one layer of an analysis computes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from servicex_layer.query._expression import Item, Selection, Term
from servicex_layer.query._values import Values

__all__ = ["NotPerEvent", "PerEvent", "item_of_lists", "select_in_lists"]


class NotPerEvent(Exception):  # noqa: N818 - never leaves the package
    """A layer mixes events, or nothing is known about it."""


@dataclass(frozen=True)
class PerEvent:
    """An array with one value for each event that passed some selections, in their order.

    Parameters
    ----------
    masks : tuple of str
        The layers of the masks of these selections.
    expression : Term, optional
        The values in terms of the columns of their event, if that is known.
    field : callable, optional
        Takes the name of a field of the records and returns its values.
    reason : str
        Why there is no expression.
    """

    masks: tuple[str, ...] = ()
    expression: Term | None = None
    field: Callable[[str], PerEvent] | None = None
    reason: str = ""

    def __getitem__(self, name: str) -> PerEvent:
        """Return the values of a field."""
        if self.field is None:
            return replace(self, expression=None, reason=self.reason or f"the field {name!r}")
        return replace(self.field(name), masks=self.masks)

    def unknown(self, reason: str) -> PerEvent:
        """Return values of the same events, of which nothing is known."""
        return PerEvent(self.masks, reason=reason)


def select_in_lists(of: PerEvent, mask: PerEvent) -> PerEvent:
    """Return ``of[mask]``, where the mask holds lists."""
    if of.field is not None:
        return replace(of, expression=None, field=lambda name: select_in_lists(of[name], mask))
    if of.expression is None or mask.expression is None:
        return of.unknown(of.reason or mask.reason)
    first, second = of.expression.values, mask.expression.values
    if first.depth < 2 or second.depth != 2:
        return of.unknown("a selection within lists of other depth")
    values = Values(first.dtype, first.depth, first.optional or second.optional)
    return replace(of, expression=Selection(of.expression, mask.expression, values))


def item_of_lists(of: PerEvent, index: int) -> PerEvent:
    """Return ``of[:, index]``."""
    if of.field is not None:
        return replace(of, expression=None, field=lambda name: item_of_lists(of[name], index))
    if of.expression is None or of.expression.values.depth != 2 or index < -1:
        return of.unknown(of.reason or "an item of a list")
    lists = of.expression.values
    return replace(of, expression=Item(of.expression, index, replace(lists, depth=1)))
