"""What a graph needs of its events; only this and what it imports needs dask-awkward."""

from __future__ import annotations

from typing import Any, NamedTuple

from awkward.forms import RecordForm
from dask.highlevelgraph import HighLevelGraph

from servicex_layer.query._columns import input_columns
from servicex_layer.query._cut import derive_cut
from servicex_layer.query._dask_awkward import needed_columns
from servicex_layer.query._input_fields import input_fields
from servicex_layer.query._uses import uses_of_events

__all__ = ["Traced", "trace"]


class Traced(NamedTuple):
    """The columns and the cut that a graph needs, and what is not part of them."""

    columns: tuple[str, ...]
    cut: str | None
    notes: tuple[str, ...]


def trace(
    graph: HighLevelGraph,
    keys: list[Any],
    input_name: str,
    form: RecordForm,
    *,
    exact: bool,
    why_no_cut: str | None,
) -> Traced:
    """Return what a graph needs of its events.

    Parameters
    ----------
    graph : HighLevelGraph
        The graph.
    keys : list
        What is computed.
    input_name : str
        The layer that reads events.
    form : awkward.forms.RecordForm
        The form of an event of the input.
    exact : bool
        Whether to leave out comparisons of rounded numbers.
    why_no_cut : str or None
        Why there is to be no cut; ``None`` if there may be one.
    """
    all_columns = tuple(sorted(form.fields))
    try:
        columns = input_columns(needed_columns(graph, keys), form)
    except Exception as error:  # noqa: BLE001 - functions of the user may raise anything
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        note = f"all columns and all events, as the analysis can't be traced ({reason})"
        return Traced(all_columns, None, (note,))
    if why_no_cut is not None:
        return Traced(columns, None, (f"no cut: {why_no_cut}",))
    reader: Any = graph.layers[input_name]
    outputs = {key[0] if isinstance(key, tuple) else key for key in keys}
    uses = uses_of_events(graph, input_name, input_fields(reader.io_func), outputs)
    cut = derive_cut(uses, all_columns, exact=exact)
    return Traced(columns, cut.text, cut.notes)
