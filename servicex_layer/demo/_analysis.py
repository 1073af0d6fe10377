"""What the demo computes: a histogram, lazily over an array and plainly over files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import awkward as ak
import hist
import uproot
import vector
from awkward.forms import Form
from dask_awkward.lib.core import Array, map_partitions
from dask_histogram.core import PartitionedHistogram, partitioned_factory

from servicex_layer.demo._events import MUON_MASS

__all__ = ["Analysis", "dimuon_mass", "of_column"]


@dataclass(frozen=True)
class Analysis:
    """A histogram of something that the events of a tree have.

    Parameters
    ----------
    tree : str
        The tree's name.
    columns : sequence of str
        What is needed of it.
    form : awkward.forms.Form or str
        What an event looks like with these columns.
    values : callable
        Makes of an array of events the one-dimensional array of what is filled.
    axis : hist.axis.Regular
        The histogram's axis; its label goes to the picture.
    unit : str
        The unit of the axis, where it is known.
    entry : str
        What the histogram counts.
    """

    tree: str
    columns: tuple[str, ...]
    form: Form | str
    values: Callable[[ak.Array], ak.Array]
    axis: hist.axis.Regular
    unit: str
    entry: str

    def fill_lazily(self, events: Array) -> PartitionedHistogram:
        """Make the histograms of the partitions of a lazy array."""
        return partitioned_factory(map_partitions(self.values, events), histref=self.empty())

    def fill_plainly(self, files: Iterable[str]) -> hist.Hist[Any]:
        """Fill a histogram from files, with Uproot and nothing else."""
        filled = self.empty()
        for path in files:
            with uproot.open({path: None}) as file:
                events = file[self.tree].arrays(filter_name=list(self.columns))
            filled.fill(ak.to_numpy(self.values(events)))
        return filled

    def empty(self) -> hist.Hist[Any]:
        """Give the histogram without entries."""
        return hist.Hist(self.axis)


def dimuon_mass(tree: str) -> Analysis:
    """Give the analysis of the demo's own files: the mass of pairs of opposite charge."""
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
    )


def of_column(tree: str, column: str, form: Form, span: tuple[float, float]) -> Analysis:
    """Give the analysis of any column of numbers, or of lists of numbers.

    Parameters
    ----------
    tree, column : str
        Their names.
    form : awkward.forms.Form
        What an event with this column looks like.
    span : tuple of float
        The least and the greatest value on the axis; others are counted in its overflows.
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


def _all_values(events: ak.Array, column: str) -> ak.Array:
    return ak.values_astype(ak.flatten(events[column], axis=None), "float64")
