"""The analyses of the demo: a histogram, filled lazily from an array or directly from files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import awkward as ak
import hist
import uproot
import vector
from awkward.forms import Form

from servicex_layer.demo._events import MUON_MASS

if TYPE_CHECKING:
    import hist.dask
    from dask_awkward.lib.core import Array

__all__ = ["Analysis", "column_values", "dimuon_mass"]


@dataclass(frozen=True)
class Analysis:
    """A one-dimensional histogram of the events of a tree.

    Parameters
    ----------
    tree : str
        The tree's name.
    columns : sequence of str
        The columns that the analysis reads.
    form : awkward.forms.Form or str
        The form of an event with these columns.
    values : callable
        Takes an array of events and returns the one-dimensional array of values to fill.
    axis : hist.axis.Regular
        The histogram's axis; the picture shows its label.
    unit : str
        The unit of the axis; empty if it is not known.
    entry : str
        The name of one entry, in the plural.
    select : callable, optional
        Takes a lazy array of events and returns those that can have entries. By default all can.
    """

    tree: str
    columns: tuple[str, ...]
    form: Form | str
    values: Callable[[ak.Array], ak.Array]
    axis: hist.axis.Regular
    unit: str
    entry: str
    select: Callable[[Array], Array] | None = None

    def fill_selected(self, events: Array) -> hist.dask.Hist[Any]:
        """Return a lazy histogram of only those events that can have entries."""
        return self.fill_lazily(events if self.select is None else self.select(events))

    def fill_lazily(self, events: Array) -> hist.dask.Hist[Any]:
        """Return a lazy histogram of a lazy array."""
        from dask_awkward.lib.core import map_partitions
        from hist.dask import Hist

        lazy: hist.dask.Hist[Any] = Hist(self.axis)
        lazy.fill(map_partitions(self.values, events))
        return lazy

    def fill_plainly(self, files: Iterable[str]) -> hist.Hist[Any]:
        """Return the histogram of files, read with plain Uproot."""
        histogram: hist.Hist[Any] = hist.Hist(self.axis)
        for path in files:
            with uproot.open({path: None}) as file:
                events = file[self.tree].arrays(filter_name=list(self.columns))
            histogram.fill(ak.to_numpy(self.values(events)))
        return histogram


def dimuon_mass(tree: str) -> Analysis:
    """Return the analysis of the generated files: the mass of muon pairs of opposite charge."""
    return Analysis(
        tree=tree,
        columns=("Muon_pt", "Muon_eta", "Muon_phi", "Muon_charge"),
        form=(
            "{Muon_pt: var * float32, Muon_eta: var * float32, Muon_phi: var * float32, "
            "Muon_charge: var * int32}"
        ),
        values=_pair_masses,
        axis=hist.axis.Regular(120, 60.0, 120.0, label="Dimuon mass"),
        unit="GeV",
        entry="Muon pairs",
        select=_with_pairs,
    )


def column_values(tree: str, column: str, form: Form, span: tuple[float, float]) -> Analysis:
    """Return the analysis of any column of numbers, or of lists of numbers.

    Parameters
    ----------
    tree, column : str
        The names of the tree and of its column.
    form : awkward.forms.Form
        The form of an event with this column.
    span : tuple of float
        The lower and upper edge of the axis.
    """
    return Analysis(
        tree=tree,
        columns=(column,),
        form=form,
        values=partial(_all_values, column=column),
        axis=hist.axis.Regular(100, *span, label=column),
        unit="",
        entry="Values",
    )


def _pair_masses(events: ak.Array) -> ak.Array:
    muons = ak.zip(
        {
            "pt": events.Muon_pt,
            "eta": events.Muon_eta,
            "phi": events.Muon_phi,
            "mass": MUON_MASS,
            "charge": events.Muon_charge,
        },
        with_name="Momentum4D",
        behavior=vector.backends.awkward.behavior,
    )
    first, second = ak.unzip(ak.combinations(muons, 2))
    return ak.flatten((first + second).mass[first.charge != second.charge])


def _with_pairs(events: Array) -> Array:
    selected: Array = events[ak.num(events.Muon_pt) >= 2]
    return selected


def _all_values(events: ak.Array, column: str) -> ak.Array:
    return ak.values_astype(ak.flatten(events[column], axis=None), "float64")
