"""A tree of a ROOT file: a TTree or an RNTuple, by Uproot."""

from __future__ import annotations

import functools
import queue
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any, Protocol, Self

import awkward as ak
import uproot
from awkward.forms import RecordForm
from uproot.source.chunk import Chunk, Source

from servicex_layer.errors import (
    AmbiguousTreeError,
    CorruptResultError,
    NoTreeError,
    ResultError,
    TreeNotFoundError,
)
from servicex_layer.reading._columns import lists, select_columns
from servicex_layer.reading._rntuple import Fields
from servicex_layer.reading._ttree import Branches
from servicex_layer.transport import ByteSource, Range

__all__ = ["RootTree"]

_TTREES = frozenset({"TTree", "TNtuple", "TNtupleD"})
_RNTUPLE = "ROOT::RNTuple"


class _Columns(Protocol):
    """The columns of a tree; `Branches` and `Fields` say what the methods do."""

    nested: bool

    def form(self) -> RecordForm: ...
    def title(self, name: str | None = None) -> str: ...
    def typename(self, name: str) -> str: ...
    def ranges(self, form: RecordForm) -> Iterator[Range]: ...
    def read(self, form: RecordForm) -> dict[str, ak.contents.Content]: ...
    def counters(self, names: frozenset[str]) -> dict[str, Any]: ...
    def ranges_of_lengths(self, counter: Any) -> Iterator[Range]: ...
    def lengths(self, counter: Any) -> Any: ...


class RootTree:
    """A tree of a ROOT file whose bytes are somewhere.

    Parameters
    ----------
    body : ByteSource
        The bytes.
    tree : str or None
        The tree's name; ``None`` for the file's only one.
    what : str
        Which file, for errors.

    Raises
    ------
    CorruptResultError, TreeNotFoundError, AmbiguousTreeError, SchemaMismatchError
        As their names say; the last two methods too.
    """

    tree: Any
    """As Uproot has it."""

    entries: int
    nested: bool

    def __init__(self, body: ByteSource, tree: str | None, what: str) -> None:
        self._what = what
        self._body = body
        self._columns: _Columns
        with self._checked():
            self._file = uproot.reading.ReadOnlyFile(what, handler=_BodySource, body=body)
            # Uproot looks a class up for each object of a tree's metadata: a fifth of their time.
            self._file.class_named = functools.cache(self._file.class_named)
            kind, self.tree = _choose(self._file.root_directory, tree, what)
            self.entries = int(self.tree.num_entries)
            columns = Fields if kind == _RNTUPLE else Branches
            self._columns = columns(self.tree, what)
        self.nested = self._columns.nested

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def form(self) -> RecordForm:
        """Tell what the columns are, without reading one."""
        return self._columns.form()

    def described(self) -> RecordForm:
        """Tell what the columns are, with titles and C++ types: what form mappings ask for."""
        form, columns = self.form(), self._columns
        contents = []
        for name, content in zip(form.fields, form.contents, strict=True):
            told = {"__doc__": columns.title(name), "typename": columns.typename(name)}
            contents.append(content.copy(parameters={**content.parameters, **told}))
        parameters = {"__doc__": columns.title(), "typenames": self.tree.typenames()}
        return form.copy(contents=contents, parameters=parameters)

    def read(
        self, form: RecordForm, offsets_only: frozenset[str] = frozenset()
    ) -> dict[str, ak.contents.Content]:
        """Read the columns of a form; of an RNTuple's records only the fields that it has.

        Of `offsets_only` lists, read only the lengths if the file has these apart from the values.
        """
        with self._checked():
            counters = self._columns.counters(offsets_only)
            whole = select_columns(form, frozenset(form.fields).difference(counters), nested=False)
            lengths = map(self._columns.ranges_of_lengths, counters.values())
            self._body.fetch([*self._columns.ranges(whole), *chain.from_iterable(lengths)])
            found = self._columns.read(whole)
            for name, counter in counters.items():
                found[name] = lists(self._columns.lengths(counter), form.content(name).content)
        return found

    def fetch(self, form: RecordForm) -> None:
        """Fetch at once what Uproot asks for bit by bit as it reads the columns of a form."""
        with self._checked():
            self._body.fetch(self._columns.ranges(form))

    @contextmanager
    def _checked(self) -> Iterator[None]:
        try:
            yield
        except ResultError:
            raise
        except Exception as error:
            said = str(getattr(error, "message", error)).strip() or type(error).__name__
            raise CorruptResultError(
                f"{self._what} cannot be read as a ROOT file: {said.splitlines()[0]}"
            ) from error


def _choose(directory: Any, tree: str | None, what: str) -> tuple[str, Any]:
    kinds = directory.classnames(recursive=True, cycle=False)
    trees = {name: kind for name, kind in kinds.items() if kind in _TTREES or kind == _RNTUPLE}
    if tree is not None and tree not in trees:
        empty = not any(directory[name].num_entries for name in trees)
        there = ", ".join(trees) or "no tree at all"
        kind = NoTreeError if empty else TreeNotFoundError
        raise kind(f"{what} has no tree {tree!r}; it has {there}.")
    if not trees:
        raise NoTreeError(f"{what} has no tree at all.")
    if tree is None and len(trees) > 1:
        raise AmbiguousTreeError(
            f"{what} has several trees: {', '.join(trees)}. Choose one with tree=…"
        )
    chosen = tree or next(iter(trees))
    return trees[chosen], directory[chosen]


class _BodySource(Source):  # type: ignore[misc]
    """Uproot's view of the bytes of a result."""

    closed = False

    def __init__(self, path: str, *, body: ByteSource, **_: Any) -> None:
        super().__init__()
        self._file_path = path
        self._num_bytes = body.size
        self._body = body

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def chunk(self, start: int, stop: int) -> Chunk:
        # Uproot asks for more than there is at the end of small files.
        stop = max(start, min(stop, self._body.size))
        return Chunk.wrap(self, self._body.read(start, stop), start)

    def chunks(
        self, ranges: Sequence[tuple[int, int]], notifications: queue.Queue[Chunk]
    ) -> list[Chunk]:
        self._body.fetch(ranges)
        chunks = [self.chunk(start, stop) for start, stop in ranges]
        for chunk in chunks:
            notifications.put(chunk)
        return chunks
