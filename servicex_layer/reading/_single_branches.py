"""Single branches of a TTree, read by Uproot without the others.

With a TTree Uproot reads the metadata of all its branches. If few of many branches are needed, that
takes longer than anything else. But the byte count before each branch leads to the next. So all
branches are skipped, and each is read when it is needed. This module only finds where branches
begin: Uproot reads every object and, if the bytes are not as expected here, the whole tree.

An object may refer to an earlier one: a leaf to the leaf that counts it, a branch to the first of
its class. A reference into a skipped branch reads that branch.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from typing import Any

import uproot

__all__ = ["SingleBranches", "read_single_branches"]

_BYTE_COUNT = 0x40000000
_NEW_CLASS = 0xFFFFFFFF
_IS_REFERENCED = 0x10
_UINT32 = struct.Struct(">I")
_SIZE_AND_LOWER_BOUND = struct.Struct(">ii")


class SingleBranches:
    """The branches at the top of a TTree, each read when it is first needed.

    Parameters
    ----------
    chunk : uproot.source.chunk.Chunk
        The bytes of the tree.
    cursor : uproot.source.cursor.Cursor
        The beginning of the list of branches.
    context : dict
        Uproot's context within the tree.
    file : uproot.ReadOnlyFile
        The file.
    tree : uproot.TTree
        The tree.

    Raises
    ------
    ValueError
        If the branches cannot be skipped.
    """

    tree: Any
    """Uproot's tree; it has only the branches that have been read."""

    branches: list[Any]
    """The list of its branches."""

    def __init__(self, chunk: Any, cursor: Any, context: Any, file: Any, tree: Any) -> None:
        self.tree = tree
        self.branches = []
        self._chunk = chunk
        self._origin, self._refs = cursor.origin, cursor.refs
        self._context = {**context, "breadcrumbs": ()}
        self._file = file
        self._limits = list(_limits_of_items(chunk, cursor.copy(), self._context, file))
        names = [
            _peek_name(chunk.get(start, stop, cursor, context).tobytes())
            for start, stop in pairwise(self._limits)
        ]
        times = Counter(names)
        self._numbers = {name: n for n, name in enumerate(names) if times[name] == 1}
        self._read: dict[int, Any] = {}
        self._reading: set[int] = set()

    def get(self, name: str) -> Any | None:
        """Return the branch of a name, or ``None`` if it cannot be read without the others."""
        number = self._numbers.get(name)
        if number is None:
            return None
        # Uproot raises errors of many classes. The whole tree it may read in a second attempt.
        with suppress(Exception):
            branch = self._read_branch(number)
            if branch.name == name:
                return branch
        return None

    def read_referenced(self, ref: int) -> None:
        """Read the branch that contains the object, or the class, of one of Uproot's references."""
        index = ref - uproot.const.kMapOffset + self._origin
        if self._limits[0] <= index < self._limits[-1]:
            self._read_branch(bisect_right(self._limits, index) - 1)

    def _read_branch(self, number: int) -> Any:
        # For Uproot an object doesn't exist yet while it is read.
        if number in self._read or number in self._reading:
            return self._read.get(number)
        self._reading.add(number)
        cursor = uproot.source.cursor.Cursor(self._limits[number], self._origin, self._refs)
        try:
            branch = uproot.deserialization.read_object_any(
                self._chunk, cursor, dict(self._context), self._file, self._file, self.tree
            )
        finally:
            self._reading.remove(number)
        self._read[number] = branch
        # Uproot's key of a branch in its cache contains the place of the branch in the tree.
        self.branches.append(branch)
        return branch


def read_single_branches(key: Any) -> SingleBranches | None:
    """Read a TTree without its branches.

    Parameters
    ----------
    key : uproot.reading.ReadOnlyKey
        The key of the tree.

    Returns
    -------
    SingleBranches or None
        ``None`` if the branches cannot be skipped.
    """
    chunk, start = key.get_uncompressed_chunk_cursor()
    cursor = uproot.source.cursor.Cursor(start.index, start.origin, _Refs())
    file = _SkippingFile(key.file)
    tree_class = key.file.class_named(key.fClassName)
    # Uproot raises errors of many classes. The whole tree it may read in a second attempt.
    with suppress(Exception):
        tree_class.read(chunk, cursor, {"breadcrumbs": (), "TKey": key}, file, key.file, key)
        return file.branches
    return None


class _SkippingFile:
    """An Uproot file that skips the branches and the leaves of a TTree.

    Uproot reads both lists with the class that ``file.class_named("TObjArray")`` returns: first the
    branches, then the leaves, all of which are in the branches, too. That is undocumented. If it
    changes, the whole tree is read, and a test in tests/reading/test_single_branches.py fails.
    """

    branches: SingleBranches | None = None

    def __init__(self, file: Any) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def class_named(self, classname: str, version: Any = None) -> Any:
        return self if classname == "TObjArray" else self._file.class_named(classname, version)

    def read(
        self, chunk: Any, cursor: Any, context: Any, _: Any, file: Any, tree: Any
    ) -> list[Any]:
        if not isinstance(tree, uproot.TTree):
            raise TypeError("a list that is not in a tree")
        items: list[Any] = []
        if self.branches is None:
            self.branches = cursor.refs.branches = SingleBranches(
                chunk, cursor, context, file, tree
            )
            items = self.branches.branches
        cursor.skip_over(chunk, context)
        return items


class _Refs(dict[int, Any]):
    """Uproot's references to objects and classes, also to those in skipped branches.

    Uproot uses a reference if it is ``in`` the dict. That is undocumented. If it changes, the class
    of a branch is unknown without the first branch of that class: the whole tree is read, and a
    test in tests/reading/test_single_branches.py fails.
    """

    branches: SingleBranches | None = None

    def __contains__(self, ref: Any) -> bool:
        if not super().__contains__(ref) and self.branches is not None:
            self.branches.read_referenced(ref)
        return super().__contains__(ref)


def _limits_of_items(chunk: Any, cursor: Any, context: Any, file: Any) -> Iterator[int]:
    """Yield where the items of a TObjArray begin, and where the last ends."""
    start = cursor.index
    num_bytes, *_ = uproot.deserialization.numbytes_version(chunk, cursor, context)
    uproot.models.TObject.Model_TObject.read(chunk, cursor, context, file, file, None)
    cursor.string(chunk, context)
    size, _ = cursor.fields(chunk, _SIZE_AND_LOWER_BOUND, context)
    yield cursor.index
    for _ in range(size):
        count = cursor.field(chunk, _UINT32, context)
        if count == _NEW_CLASS or not count & _BYTE_COUNT:
            raise ValueError("an item without a byte count")
        cursor.skip(count & ~_BYTE_COUNT)
        yield cursor.index
    if num_bytes is None or cursor.index != start + num_bytes:
        raise ValueError("byte counts that do not add up to that of the list")


def _peek_name(item: bytes) -> str:
    """Return the name of a TNamed at the beginning of its bytes in a TObjArray.

    It only decides which branch Uproot reads: the branch itself has a name, too.
    """
    (tag,) = _UINT32.unpack_from(item, 4)
    position = item.index(0, 8) + 1 if tag == _NEW_CLASS else 8
    # A class and its bases begin with a byte count and a version.
    while _UINT32.unpack_from(item, position)[0] & _BYTE_COUNT:
        position += 6
    # TObject has a version, a unique ID, bits and, if others refer to it, the ID of a process.
    (bits,) = _UINT32.unpack_from(item, position + 6)
    position += 12 if bits & _IS_REFERENCED else 10
    length = item[position]
    position += 1
    if length == 255:
        (length,) = _UINT32.unpack_from(item, position)
        position += 4
    return item[position : position + length].decode(errors="surrogateescape")
