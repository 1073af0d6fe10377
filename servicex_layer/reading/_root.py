"""A tree of a ROOT file, a TTree or an RNTuple, read by Uproot."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any, Protocol, Self

import awkward as ak
import uproot
from awkward.forms import RecordForm

from servicex_layer.errors import (
    AmbiguousTreeError,
    CorruptResultError,
    NoTreeError,
    ResultError,
    TreeNotFoundError,
)
from servicex_layer.reading._columns import select_columns
from servicex_layer.reading._placeholders import lists_of_lengths
from servicex_layer.reading._rntuple import Fields
from servicex_layer.reading._ttree import Branches
from servicex_layer.reading._uproot_adapter import UprootSource
from servicex_layer.transport import ByteSource, Range

__all__ = ["RootTree"]

_TTREES = frozenset({"TTree", "TNtuple", "TNtupleD"})
_RNTUPLE = "ROOT::RNTuple"


class _Columns(Protocol):
    """The columns of a tree; `Branches` and `Fields` document the methods."""

    nested: bool
    entries: int

    @property
    def tree(self) -> Any: ...
    def form(self) -> RecordForm: ...
    def title(self, name: str | None = None) -> str: ...
    def typename(self, name: str) -> str: ...
    def ranges(self, form: RecordForm) -> Iterator[Range]: ...
    def read(self, form: RecordForm) -> dict[str, ak.contents.Content]: ...
    def counters(self, names: frozenset[str]) -> dict[str, Any]: ...
    def length_ranges(self, counter: Any) -> Iterator[Range]: ...
    def lengths(self, counter: Any) -> Any: ...


class RootTree:
    """A tree of a ROOT file.

    Parameters
    ----------
    body : ByteSource
        The bytes of the file.
    tree : str or None
        The name of the tree; ``None`` for the file's only one.
    file : str
        Names the file in errors.

    Raises
    ------
    CorruptResultError
        If Uproot cannot read the file. `read` and `fetch` raise it too.
    TreeNotFoundError, AmbiguousTreeError
        If the file does not have the tree, or several trees and none is named.
    SchemaMismatchError
        By `read` and `fetch`, if the tree lacks a column.
    """

    entries: int
    nested: bool

    def __init__(self, body: ByteSource, tree: str | None, file: str) -> None:
        self._name = file
        self._body = body
        self._columns: _Columns
        with self._corrupt_if_fails():
            self._file = uproot.reading.ReadOnlyFile(file, handler=UprootSource, body=body)
            cache_class_lookups(self._file)
            key = _choose_tree(self._file.root_directory, tree, file)
            self._columns = (Fields if key.fClassName == _RNTUPLE else Branches)(key, file)
        self.entries = self._columns.entries
        self.nested = self._columns.nested

    @property
    def tree(self) -> Any:
        """Uproot's tree, with all its columns."""
        with self._corrupt_if_fails():
            return self._columns.tree

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def form(self) -> RecordForm:
        """Return the form of all columns, without reading one."""
        return self._form

    @functools.cached_property
    def _form(self) -> RecordForm:
        # Of a wide tree it takes a while, and a form mapping needs it twice.
        return self._columns.form()

    def annotated_form(self) -> RecordForm:
        """Return the form with titles and C++ types as parameters, as form mappings need it."""
        form, columns = self.form(), self._columns
        contents = []
        for name, content in zip(form.fields, form.contents, strict=True):
            annotations = {"__doc__": columns.title(name), "typename": columns.typename(name)}
            contents.append(content.copy(parameters={**content.parameters, **annotations}))
        parameters = {"__doc__": columns.title(), "typenames": self.tree.typenames()}
        return form.copy(contents=contents, parameters=parameters)

    def read(
        self, form: RecordForm, offsets_only: frozenset[str] = frozenset()
    ) -> dict[str, ak.contents.Content]:
        """Read the columns of a form; of an RNTuple's records only the fields in the form.

        Reads just the lengths of `offsets_only` lists if the file stores these apart from the
        items.
        """
        with self._corrupt_if_fails():
            counters = self._columns.counters(offsets_only)
            whole = select_columns(form, frozenset(form.fields).difference(counters), nested=False)
            lengths = map(self._columns.length_ranges, counters.values())
            self._body.fetch([*self._columns.ranges(whole), *chain.from_iterable(lengths)])
            arrays = self._columns.read(whole)
            for name, counter in counters.items():
                items = form.content(name).content
                arrays[name] = lists_of_lengths(self._columns.lengths(counter), items)
        return arrays

    def fetch(self, form: RecordForm) -> None:
        """Prefetch at once what Uproot reads bit by bit for the columns of a form."""
        with self._corrupt_if_fails():
            self._body.fetch(self._columns.ranges(form))

    @contextmanager
    def _corrupt_if_fails(self) -> Iterator[None]:
        # Uproot raises errors of many classes for a corrupt file.
        try:
            yield
        except ResultError:
            raise
        except Exception as error:
            message = str(getattr(error, "message", error)).strip() or type(error).__name__
            raise CorruptResultError(
                f"{self._name} cannot be read as a ROOT file: {message.splitlines()[0]}"
            ) from error


def cache_class_lookups(file: Any) -> None:
    """Have an Uproot file look up each class only once.

    Uproot calls `ReadOnlyFile.class_named` for each object in a tree's metadata, which takes a
    fifth of the time to read it. That it goes through this attribute is undocumented; if that
    changes, reading is slower but right, and a test in tests/reading/test_root.py fails.
    """
    file.class_named = functools.cache(file.class_named)


def _choose_tree(directory: Any, tree: str | None, file: str) -> Any:
    """Return the key of a tree."""
    classnames = directory.classnames(recursive=True, cycle=False)
    trees = {
        name: classname
        for name, classname in classnames.items()
        if classname in _TTREES or classname == _RNTUPLE
    }
    if tree is not None and tree not in trees:
        has_events = any(directory[name].num_entries for name in trees)
        names = ", ".join(trees) or "no tree at all"
        error = TreeNotFoundError if has_events else NoTreeError
        raise error(f"{file} has no tree {tree!r}; it has {names}.")
    if not trees:
        raise NoTreeError(f"{file} has no tree at all.")
    if tree is None and len(trees) > 1:
        raise AmbiguousTreeError(
            f"{file} has several trees: {', '.join(trees)}. Choose one with tree=…"
        )
    return directory.key(tree or next(iter(trees)))
