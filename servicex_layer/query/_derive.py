"""`derive_query`: from an analysis to the query that it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from awkward.forms import RecordForm
from dask.base import unpack_collections
from dask.core import flatten
from dask.highlevelgraph import HighLevelGraph

from servicex_layer.errors import InvalidArgumentError
from servicex_layer.forms import is_func_adl, is_uproot_raw, parse_form
from servicex_layer.graph import UprootLoadLayer, require_dask_awkward
from servicex_layer.query._derived_query import DerivedQuery
from servicex_layer.query._func_adl import prune

if TYPE_CHECKING:
    from uproot import ImplementsFormMapping

__all__ = ["Analysis", "InputEvents", "derive_query", "query_of_outputs", "run_analysis"]

Analysis = Callable[[Any], Any] | Mapping[str, Callable[[Any], Any]]
"""A function of events that returns Dask collections, or several by name."""


@dataclass(frozen=True)
class InputEvents:
    """What the events of the input look like to an analysis.

    Parameters
    ----------
    form : awkward.forms.RecordForm
        The form of an event.
    tree : str
        The tree in the input.
    behavior, form_mapping
        As in `servicex_layer.from_servicex`.
    func_adl : object, optional
        The func_adl query whose results the events are.
    """

    form: RecordForm
    tree: str
    behavior: Mapping[Any, Any] | None = None
    form_mapping: ImplementsFormMapping | None = None
    func_adl: Any = None

    @classmethod
    def of(
        cls,
        form: Any,
        tree: str,
        behavior: Mapping[Any, Any] | None,
        form_mapping: ImplementsFormMapping | None,
    ) -> InputEvents:
        """Parse the argument ``form`` of `derive_query`."""
        query = form[0] if isinstance(form, tuple) and len(form) == 2 else form
        if is_uproot_raw(query):
            raise InvalidArgumentError(
                "form must be that of the input, not of an uproot-raw query: the query is what is "
                "derived. Pass a sample of the input, or a datashape."
            )
        if not tree:
            raise InvalidArgumentError(
                f"tree={tree!r} must be a non-empty string: the tree to read in the input."
            )
        record_form = parse_form(form, tree)("root-file")
        func_adl = query if is_func_adl(query) else None
        # Results have the tree without its cycle, as in "Events;1".
        name = tree.partition(";")[0]
        return cls(record_form, name, behavior, form_mapping, func_adl)

    def stand_in(self, npartitions: int) -> Any:
        """Return an array of such events that raises an error when it is computed."""
        require_dask_awkward("derive_query")
        from servicex_layer.query._stand_in import stand_in_events

        return stand_in_events(
            self.form,
            self.tree,
            npartitions,
            behavior=self.behavior,
            form_mapping=self.form_mapping,
        )


def derive_query(
    analysis: Analysis,
    form: Any,
    tree: str,
    *,
    cut: bool | Literal["exact"] = True,
    behavior: Mapping[Any, Any] | None = None,
    form_mapping: ImplementsFormMapping | None = None,
) -> DerivedQuery:
    """Derive the ServiceX query of an analysis: its columns, and a cut on its events.

    The analysis is traced on an array without data. Nothing is submitted. The cut keeps every event
    that the analysis uses, and may keep more: the analysis makes its selections again.

    Parameters
    ----------
    analysis : callable or mapping of str to callable
        A function that takes an array of events and returns Dask collections: arrays, scalars,
        histograms, or dictionaries and lists of these. Or several such functions by name.
    form : object
        The form of the *input*: the path or URL of an input file, a datashape, or an awkward form.
        Or a func_adl query, or a pair of it and of types, as in `servicex_layer.from_servicex`:
        its last ``Select`` is then reduced to the columns that the analysis needs.
    tree : str
        The tree in the input; for func_adl, that in the results.
    cut : bool or "exact"
        ``True``: with a cut. ``"exact"``: without comparisons of numbers that may be rounded
        differently elsewhere. ``False``: only columns.
    behavior, form_mapping
        As in `servicex_layer.from_servicex`.

    Returns
    -------
    DerivedQuery
        The columns, the cut, notes on what is not part of the query, and the query itself.

    Raises
    ------
    InvalidArgumentError
        If the analysis computes something, returns no collection, or does not use the events; or
        if an argument has an impossible value.
    FormError
        If `form` is not a form.

    See Also
    --------
    servicex_layer.apply_to_dataset : Submit the query, and apply the analysis to its results.

    Examples
    --------
    >>> import awkward as ak
    >>> def analysis(events):
    ...     return events.Muon_pt[events.MET > 30]
    >>> derive_query(analysis, "{Muon_pt: var * float32, MET: float32, x: int32}", "Events")
    DerivedQuery
    tree:    Events
    columns: MET, Muon_pt
    cut:     (get('MET') > 30.0)
    """
    events = InputEvents.of(form, tree, behavior, form_mapping)
    return query_of_outputs(run_analysis(analysis, events.stand_in(1)), events, cut=cut)


def run_analysis(analysis: Analysis, events: Any) -> Any:
    """Return what an analysis makes of events: with several functions, a dictionary."""
    if isinstance(analysis, Mapping):
        return {name: function(events) for name, function in analysis.items()}
    if not callable(analysis):
        raise InvalidArgumentError(
            f"analysis={analysis!r} must be a function of events, or a mapping of such functions."
        )
    return analysis(events)


def query_of_outputs(
    outputs: Any, events: InputEvents, *, cut: bool | Literal["exact"]
) -> DerivedQuery:
    """Return the query of what an analysis has made of events.

    Raises
    ------
    InvalidArgumentError
        If there is no collection in `outputs`, or they do not use events of ServiceX.
    """
    if cut not in (True, False, "exact"):
        raise InvalidArgumentError(f"cut={cut!r} must be True, False or 'exact'.")
    collections, _ = unpack_collections(outputs)  # type: ignore[no-untyped-call]
    if not collections:
        raise InvalidArgumentError(
            f"The analysis returned {type(outputs).__name__}, without a Dask collection. It must "
            "return lazy arrays, scalars or histograms made of its events."
        )
    graph = HighLevelGraph.merge(*(item.__dask_graph__() for item in collections))
    keys = list(flatten([item.__dask_keys__() for item in collections]))  # type: ignore[no-untyped-call]
    inputs = [name for name, layer in graph.layers.items() if isinstance(layer, UprootLoadLayer)]
    if len(inputs) != 1:
        raise InvalidArgumentError(
            "The analysis must use its events, and no other array of ServiceX: it uses "
            f"{len(inputs)} such arrays."
        )
    from servicex_layer.query._trace import trace

    why_no_cut = "cut=False" if not cut else None
    if events.func_adl is not None:
        why_no_cut = "a func_adl query is only reduced to its needed columns"
    traced = trace(graph, keys, inputs[0], events.form, exact=cut == "exact", why_no_cut=why_no_cut)
    func_adl = None if events.func_adl is None else prune(events.func_adl, traced.columns)
    return DerivedQuery(events.tree, traced.columns, traced.cut, traced.notes, func_adl)
