"""The columns of a TTree: its branches, read by Uproot."""

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
from servicex_layer.reading._single_branches import read_single_branches
from servicex_layer.transport import Range

__all__ = ["Branches"]


class Branches:
    """The branches that hold values.

    A branch of a split object has its own name or, if several branches have that, its path.

    Parameters
    ----------
    key : uproot.reading.ReadOnlyKey
        The key of the TTree.
    file : str
        Names the file in errors.

    Raises
    ------
    SchemaMismatchError
        By every method that takes the name of a column, if the tree lacks it.
    """

    nested = False

    def __init__(self, key: Any, file: str) -> None:
        self._key = key
        self._file = file
        self._single = read_single_branches(key)
        tree = self.tree if self._single is None else self._single.tree
        self.entries = int(tree.num_entries)

    @cached_property
    def tree(self) -> Any:
        """Uproot's TTree, with all its branches."""
        self._single = None  # no longer needed
        return self._key.get()

    def form(self) -> RecordForm:
        """Return the form of all columns, without reading one."""
        forms = {}
        for name, branch in self._leaves.items():
            # Uproot cannot read every type; such branches are left out.
            with suppress(Exception):
                forms[name] = branch.interpretation.awkward_form(self.tree.file)
        return RecordForm(list(forms.values()), list(forms))

    def title(self, name: str | None = None) -> str:
        """Return the title of a column, or of the tree."""
        title: str = (self.tree if name is None else self._leaf(name)).title
        return title

    def typename(self, name: str) -> str:
        """Return the C++ type of a column."""
        typename: str = self._leaf(name).typename
        return typename

    def ranges(self, form: RecordForm) -> Iterator[Range]:
        """Return the ranges of bytes that hold the columns of a form."""
        for name in form.fields:
            yield from self._baskets(self._leaf(name))

    def read(self, form: RecordForm) -> dict[str, ak.contents.Content]:
        """Read the columns of a form."""
        return {name: self._values(self._leaf(name)) for name in form.fields}

    def counters(self, names: frozenset[str]) -> dict[str, Any]:
        """Return the counter branches of those lists that have one."""
        counters = {name: self._leaf(name).count_branch for name in names}
        return {name: counter for name, counter in counters.items() if counter is not None}

    def length_ranges(self, counter: Any) -> Iterator[Range]:
        """Return the ranges of bytes that hold a counter branch."""
        return self._baskets(counter)

    def lengths(self, counter: Any) -> Any:
        """Read a counter branch."""
        return np.asarray(self._values(counter).data)

    @cached_property
    def _leaves(self) -> dict[str, Any]:
        leaves = list(_leaf_branches(self.tree))
        times = Counter(branch.name for _, branch in leaves)
        return {branch.name if times[branch.name] == 1 else path: branch for path, branch in leaves}

    @cached_property
    def _by_name(self) -> dict[str, list[Any]]:
        by_name: dict[str, list[Any]] = {}
        for branch in _all_branches(self.tree):
            by_name.setdefault(branch.name, []).append(branch)
        return by_name

    def _leaf(self, name: str) -> Any:
        # Uproot takes a while to read a branch, and to interpret it. Only `_leaves` needs all.
        branch = self._single.get(name) if self._single is not None else None
        if branch is not None and _is_leaf(branch):
            return branch
        namesakes = self._by_name.get(name, [])
        if len(namesakes) == 1 and _is_leaf(namesakes[0]):
            return namesakes[0]
        if name not in self._leaves:
            raise missing_column_error(name, self._file, self._leaves)
        return self._leaves[name]

    def _values(self, branch: Any) -> ak.contents.Content:
        values = branch.array(entry_stop=self.entries).layout
        if len(values) < self.entries:
            raise ValueError(f"the branch {branch.name!r} is shorter than its tree")
        return values

    def _baskets(self, branch: Any) -> Iterator[Range]:
        # Baskets within the metadata have been read already: these are no ranges.
        for _, basket in branch.entries_to_ranges_or_baskets(0, self.entries):
            if isinstance(basket, tuple):
                yield basket


def _all_branches(tree: Any) -> Iterator[Any]:
    for branch in tree.branches:
        yield branch
        yield from _all_branches(branch)


def _leaf_branches(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the branches that hold values, with their paths, in the order of the file."""
    for branch in tree.branches:
        path = f"{prefix}{branch.name}"
        if _is_leaf(branch):
            yield path, branch
        else:
            yield from _leaf_branches(branch, f"{path}/")


def _is_leaf(branch: Any) -> bool:
    return not isinstance(branch.interpretation, (UnknownInterpretation, AsGrouped))
