"""How an analysis uses events: after which selections, and by which masks these are made."""

from __future__ import annotations

import operator
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import awkward as ak
from dask.highlevelgraph import HighLevelGraph

from servicex_layer.query._dask_awkward import Literal, call_of_layer
from servicex_layer.query._expression import Term
from servicex_layer.query._interpret import interpret, is_event_mask, is_known
from servicex_layer.query._per_event import NotPerEvent, PerEvent

__all__ = ["EventUses", "Mask", "Use", "uses_of_events"]


@dataclass(frozen=True)
class Mask:
    """A mask that selects events.

    Parameters
    ----------
    expression : Term, optional
        The mask in terms of columns, if that is known.
    reason : str
        Why there is no expression.
    optional : bool
        Whether the mask may be ``None``; then the selected event is ``None``.
    after : tuple of str
        The masks of the selections before the mask is computed.
    """

    expression: Term | None
    reason: str
    optional: bool
    after: tuple[str, ...]


@dataclass(frozen=True)
class Use:
    """A use of events that may depend on all of them, after selections by these masks."""

    by: str
    masks: tuple[str, ...]


@dataclass(frozen=True)
class EventUses:
    """All uses of events, and the masks by the names of their layers."""

    uses: list[Use]
    masks: dict[str, Mask]


def uses_of_events(
    graph: HighLevelGraph, input_name: str, events: PerEvent, outputs: Collection[Any]
) -> EventUses:
    """Follow events through a graph.

    What is made of events, one value for each of them, is followed further. Any other layer, and
    any output, is a use.

    Parameters
    ----------
    graph : HighLevelGraph
        The graph of the analysis.
    input_name : str
        The name of the layer that reads events.
    events : PerEvent
        The fields of an event.
    outputs : collection
        The names of the layers that the analysis returns.
    """
    walk = _Walk(graph, input_name, events)
    for name in graph._toposort_layers():
        walk.follow(name)
        if name in outputs and name in walk.values:
            walk.add_use(f"{short_name(name)}, which is returned,", name)
    return EventUses(walk.uses, walk.masks)


def short_name(layer: str) -> str:
    """Return the name of a layer without its token."""
    head, _, token = layer.rpartition("-")
    return head if len(token) >= 32 else layer


class _Walk:
    def __init__(self, graph: HighLevelGraph, input_name: str, events: PerEvent) -> None:
        self._graph = graph
        self.values = {input_name: events}
        events_layer: Any = graph.layers[input_name]
        self._metas: dict[str, Any] = {input_name: events_layer.meta}
        self.uses: list[Use] = []
        self.masks: dict[str, Mask] = {}

    def follow(self, name: str) -> None:
        if name in self.values:
            return
        try:
            self.values[name] = self._interpret(name)
        except NotPerEvent:
            for input_name in sorted(self._graph.dependencies[name]):
                if input_name in self.values:
                    self.add_use(short_name(name), input_name)

    def add_use(self, by: str, name: str) -> None:
        self.uses.append(Use(by, self.values[name].masks))

    def _interpret(self, name: str) -> PerEvent:
        call = call_of_layer(self._graph.layers[name])
        if call is None or not is_known(call.function):
            raise NotPerEvent
        arguments = tuple(map(self._argument, call.arguments))
        metas = tuple(map(self._meta, call.arguments))
        meta = call.function(*metas, **call.keywords)
        self._metas[name] = meta
        match call.function, arguments:
            case operator.getitem, (PerEvent() as of, PerEvent() as mask) if is_event_mask(
                metas[1]
            ):
                return self._select(of, mask, str(call.arguments[1]), metas[1])
        return interpret(call, arguments, metas, meta)

    def _argument(self, argument: str | Literal) -> PerEvent | Literal:
        if isinstance(argument, Literal):
            return argument
        if argument not in self.values:
            raise NotPerEvent
        return self.values[argument]

    def _meta(self, argument: str | Literal) -> Any:
        return argument.value if isinstance(argument, Literal) else self._metas[argument]

    def _select(self, of: PerEvent, mask: PerEvent, mask_name: str, meta: ak.Array) -> PerEvent:
        if of.masks != mask.masks:
            raise NotPerEvent
        optional = meta.layout.form.is_option
        self.masks[mask_name] = Mask(mask.expression, mask.reason, optional, mask.masks)
        return replace(of, masks=(*of.masks, mask_name))
