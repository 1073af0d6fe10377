"""The columns of several trees as one tree, for form mappings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import awkward as ak
from awkward.contents import Content

from servicex_layer.errors import InvalidArgumentError

__all__ = ["JoinedTree", "TreePart"]


@dataclass(frozen=True, slots=True)
class TreePart:
    """What was read of one tree.

    Parameters
    ----------
    tree : object
        Uproot's tree; its file is closed.
    entries : int
        The number of entries.
    columns : mapping
        The columns, by their names.
    """

    tree: Any
    entries: int
    columns: Mapping[str, Content]


class JoinedTree:
    """The columns of several trees, one after the other, as form mappings read an Uproot tree.

    A mapping makes buffers of all entries from it, so that an index of a mapping, such as coffea's
    cross-references, counts through all files. It has the names and the file of the first tree.

    Parameters
    ----------
    parts : sequence of TreePart
        What was read of the trees, with the same columns.
    """

    def __init__(self, parts: Sequence[TreePart]) -> None:
        first = parts[0].tree
        self.file = first.file
        self.name = first.name
        self.object_path = first.object_path
        self.num_entries = sum(part.entries for part in parts)
        self._columns = {
            name: ak.concatenate([part.columns[name] for part in parts])
            for name in parts[0].columns
        }

    def __contains__(self, name: str) -> bool:
        return name in self._columns

    def keys(self) -> list[str]:
        """Return the names of the columns."""
        return list(self._columns)

    def arrays(
        self,
        expressions: Iterable[str],
        *,
        entry_start: int | None = None,
        entry_stop: int | None = None,
        how: Any = None,
        **_: Any,
    ) -> Any:
        """Return columns as `uproot.TTree.arrays` does; other options change nothing here."""
        where = slice(entry_start, entry_stop)
        arrays = {name: self._columns[name][where] for name in expressions}
        if how is None:
            return ak.zip(arrays, depth_limit=1)
        if how is dict:
            return arrays
        if how is tuple:
            return tuple(arrays.values())
        raise InvalidArgumentError(
            f"A form mapping asks for arrays with how={how!r}. With several files per partition it "
            "can be None, dict or tuple."
        )
