"""The columns of a TTree: branches, by Uproot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from typing import Any

import awkward as ak
import numpy as np
from awkward.forms import RecordForm
from uproot.interpretation.grouped import AsGrouped
from uproot.interpretation.identify import UnknownInterpretation

from servicex_layer.reading._columns import missing_column_error
from servicex_layer.transport import Range

__all__ = ["Branches"]


class Branches:
    """The branches that hold values.

    Those of a split object go by their own names, or by their paths where several have the same
    name.

    Parameters
    ----------
    tree : uproot.TTree
        Of which tree.
    where : str
        The file, for errors.

    Raises
    ------
    SchemaMismatchError
        By all methods that are given the name of a column that is not there.
    """

    nested = False

    def __init__(self, tree: Any, where: str) -> None:
        self._tree = tree
        self._where = where

    def form(self) -> RecordForm:
        """Tell what the columns are, without reading one."""
        forms = {}
        for name, branch in self._leaves.items():
            # What cannot be read is no column.
            with suppress(Exception):
                forms[name] = branch.interpretation.awkward_form(self._tree.file)
        return RecordForm(list(forms.values()), list(forms))

    def title(self, name: str | None = None) -> str:
        """Tell the title of a column, or of the tree."""
        titled: str = (self._tree if name is None else self._leaf(name)).title
        return titled

    def typename(self, name: str) -> str:
        """Tell the C++ type of a column."""
        typename: str = self._leaf(name).typename
        return typename

    def ranges(self, form: RecordForm) -> Iterator[Range]:
        """Tell where the values of columns are."""
        for name in form.fields:
            yield from self._baskets(self._leaf(name))

    def read(self, form: RecordForm) -> dict[str, ak.contents.Content]:
        """Read columns."""
        return {name: self._values(self._leaf(name)) for name in form.fields}

    def counters(self, names: frozenset[str]) -> dict[str, Any]:
        """Find what holds the lengths of lists, for those for which something does."""
        counters = {name: self._leaf(name).count_branch for name in names}
        return {name: counter for name, counter in counters.items() if counter is not None}

    def ranges_of_lengths(self, counter: Any) -> Iterator[Range]:
        """Tell where the lengths are that a counter holds."""
        return self._baskets(counter)

    def lengths(self, counter: Any) -> Any:
        """Read the lengths that a counter holds."""
        return np.asarray(self._values(counter).data)

    @cached_property
    def _leaves(self) -> dict[str, Any]:
        leaves = list(_leaves(self._tree))
        times = Counter(branch.name for _, branch in leaves)
        return {branch.name if times[branch.name] == 1 else path: branch for path, branch in leaves}

    @cached_property
    def _named(self) -> dict[str, list[Any]]:
        named: dict[str, list[Any]] = {}
        for branch in _all(self._tree):
            named.setdefault(branch.name, []).append(branch)
        return named

    def _leaf(self, name: str) -> Any:
        # To ask a branch what is in it takes its time, which those that are not read can save.
        same = self._named.get(name, [])
        if len(same) == 1 and _is_leaf(same[0]):
            return same[0]
        if name not in self._leaves:
            raise missing_column_error(name, self._where, self._leaves)
        return self._leaves[name]

    def _values(self, branch: Any) -> ak.contents.Content:
        entries = int(self._tree.num_entries)
        values = branch.array(entry_stop=entries).layout
        if len(values) < entries:
            raise ValueError(f"the branch {branch.name!r} is shorter than its tree")
        return values

    def _baskets(self, branch: Any) -> Iterator[Range]:
        # Those that are part of the metadata are at hand.
        for _, basket in branch.entries_to_ranges_or_baskets(0, int(self._tree.num_entries)):
            if isinstance(basket, tuple):
                yield basket


def _all(tree: Any) -> Iterator[Any]:
    for branch in tree.branches:
        yield branch
        yield from _all(branch)


def _leaves(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Go through the branches that hold values, with their paths, in the file's order."""
    for branch in tree.branches:
        path = f"{prefix}{branch.name}"
        if _is_leaf(branch):
            yield path, branch
        else:
            yield from _leaves(branch, f"{path}/")


def _is_leaf(branch: Any) -> bool:
    return not isinstance(branch.interpretation, (UnknownInterpretation, AsGrouped))
