"""A TTree or RNTuple of a ROOT file, by Uproot."""

from __future__ import annotations

import queue
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any, Self

import awkward as ak
import uproot
from awkward.forms import RecordForm
from uproot.interpretation.grouped import AsGrouped
from uproot.interpretation.identify import UnknownInterpretation
from uproot.source.chunk import Chunk, Source

from servicex_layer.errors import (
    AmbiguousTreeError,
    CorruptResultError,
    ResultError,
    SchemaMismatchError,
    TreeNotFoundError,
)
from servicex_layer.transfer import Body

__all__ = ["RootTree"]

_TTREES = frozenset({"TTree", "TNtuple", "TNtupleD"})
_RNTUPLE = "ROOT::RNTuple"


class RootTree:
    """A tree of a ROOT file whose bytes are somewhere.

    Parameters
    ----------
    body : Body
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

    entries: int
    nested: bool

    def __init__(self, body: Body, tree: str | None, what: str) -> None:
        self._what = what
        self._body = body
        try:
            self._file = uproot.reading.ReadOnlyFile(what, handler=_BodySource, body=body)
            kind, self._tree = _choose(self._file.root_directory, tree, what)
            self.entries = int(self._tree.num_entries)
        except ResultError:
            raise
        except Exception as error:
            raise self._corrupt(error) from error
        self.nested = kind == _RNTUPLE

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def form(self) -> RecordForm:
        """Tell what the columns are, without reading one."""
        if self.nested:
            form, _ = self._tree.to_akform()
            return form
        forms = {}
        for name, branch in self._branches.items():
            # What cannot be read is no column.
            with suppress(Exception):
                forms[name] = branch.interpretation.awkward_form(self._tree.file)
        return RecordForm(list(forms.values()), list(forms))

    @property
    def tree(self) -> Any:
        """The tree as Uproot has it."""
        return self._tree

    def described(self) -> RecordForm:
        """Tell what the columns are, with titles and C++ types: what form mappings ask for."""
        form = self.form()
        if self.nested:
            described = [(self._tree[name], self._tree[name].description) for name in form.fields]
            title = self._tree.description
        else:
            branches = [self._branches[name] for name in form.fields]
            described = [(branch, branch.title) for branch in branches]
            title = self._tree.title
        contents = [
            content.copy(
                parameters={**content.parameters, "__doc__": doc, "typename": column.typename}
            )
            for content, (column, doc) in zip(form.contents, described, strict=True)
        ]
        return form.copy(
            contents=contents,
            parameters={"__doc__": title, "typenames": self._tree.typenames()},
        )

    def read(self, form: RecordForm) -> dict[str, ak.contents.Content]:
        """Read the columns of a form; of an RNTuple's records only the fields that it has."""
        if not form.fields:
            return {}
        try:
            self.fetch(form)
            if self.nested:
                arrays = self._tree.arrays(filter_field=_one_of(self._fields(form)))
                return {name: arrays[name].layout for name in form.fields}
            return {name: self._values(self._branch(name)) for name in form.fields}
        except ResultError:
            raise
        except Exception as error:
            raise self._corrupt(error) from error

    def fetch(self, form: RecordForm) -> None:
        """Fetch at once what Uproot asks for bit by bit as it reads the columns of a form."""
        if not form.fields:
            return
        if self.nested:
            self._body.fetch(_pages(self._tree, _one_of(self._fields(form))))
        else:
            branches = [self._branch(name) for name in form.fields]
            self._body.fetch(_baskets(branches, self.entries))

    @cached_property
    def _branches(self) -> dict[str, Any]:
        """The branches that hold values, in the file's order.

        Those of a split object go by their own names, or by their paths where several have the
        same name.
        """
        leaves = list(_leaf_branches(self._tree))
        times = Counter(branch.name for _, branch in leaves)
        return {branch.name if times[branch.name] == 1 else path: branch for path, branch in leaves}

    @cached_property
    def _by_name(self) -> dict[str, list[Any]]:
        """All branches: to ask what is in one takes its time, which those not read can save."""
        by_name: dict[str, list[Any]] = {}
        for branch in _all_branches(self._tree):
            by_name.setdefault(branch.name, []).append(branch)
        return by_name

    def _branch(self, name: str) -> Any:
        same = self._by_name.get(name, [])
        if len(same) == 1 and _is_leaf(same[0]):
            return same[0]
        branches = self._branches
        return branches[name] if name in branches else self._missing(name, branches)

    def _values(self, branch: Any) -> ak.contents.Content:
        values = branch.array(entry_stop=self.entries).layout
        if len(values) < self.entries:
            raise ValueError(f"the branch {branch.name!r} is shorter than its tree")
        return values

    def _fields(self, form: RecordForm) -> list[Any]:
        keys = self._tree.keys()
        return [
            self._tree[path] if path in keys else self._missing(path, keys)
            for name in form.fields
            for path in _leaves(form.content(name), name)
        ]

    def _missing(self, name: str, there: Sequence[str] | dict[str, Any]) -> Any:
        raise SchemaMismatchError(
            f"The column {name!r} is in the form but not in {self._what}, whose tree "
            f"{self._tree.name!r} has {', '.join(there)}."
        )

    def _corrupt(self, error: Exception) -> CorruptResultError:
        said = str(getattr(error, "message", error)).strip() or type(error).__name__
        return CorruptResultError(
            f"{self._what} cannot be read as a ROOT file: {said.splitlines()[0]}"
        )


def _choose(directory: Any, tree: str | None, what: str) -> tuple[str, Any]:
    kinds = directory.classnames(recursive=True, cycle=False)
    trees = {name: kind for name, kind in kinds.items() if kind in _TTREES or kind == _RNTUPLE}
    if tree is not None and tree not in trees:
        there = ", ".join(trees) or "no tree at all"
        raise TreeNotFoundError(f"{what} has no tree {tree!r}; it has {there}.")
    if not trees:
        raise TreeNotFoundError(f"{what} has no tree at all.")
    if tree is None and len(trees) > 1:
        raise AmbiguousTreeError(
            f"{what} has several trees: {', '.join(trees)}. Choose one with tree=…"
        )
    chosen = tree or next(iter(trees))
    return trees[chosen], directory[chosen]


def _all_branches(tree: Any) -> Iterator[Any]:
    for branch in tree.branches:
        yield branch
        yield from _all_branches(branch)


def _is_leaf(branch: Any) -> bool:
    return not isinstance(branch.interpretation, (UnknownInterpretation, AsGrouped))


def _leaf_branches(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Go through the branches that hold values, with their paths, in the file's order."""
    for branch in tree.branches:
        path = f"{prefix}{branch.name}"
        if _is_leaf(branch):
            yield path, branch
        else:
            yield from _leaf_branches(branch, f"{path}/")


def _baskets(branches: Iterable[Any], entries: int) -> Iterator[tuple[int, int]]:
    """Tell where the baskets of branches are; those that are part of the metadata are at hand."""
    for branch in branches:
        for _, basket in branch.entries_to_ranges_or_baskets(0, entries):
            if isinstance(basket, tuple):
                yield basket


def _leaves(form: Any, path: str) -> Iterator[str]:
    """List the keys that an RNTuple gives to the leaves of a field."""
    if form.is_record and form.fields:
        for name in form.fields:
            yield from _leaves(form.content(name), f"{path}.{name}")
    elif (form.is_list or form.is_option or form.is_indexed) and not _is_string(form):
        yield from _leaves(form.content, path)
    else:
        yield path


def _one_of(chosen: Iterable[Any]) -> Callable[[Any], bool]:
    # By identity: a branch is a mapping of its branches, and equal to all that have none.
    identities = {id(one): one for one in chosen}
    return lambda one: id(one) in identities


def _pages(ntuple: Any, is_chosen: Callable[[Any], bool]) -> Iterator[tuple[int, int]]:
    """Tell where the pages of fields are: Uproot asks for one after the other."""
    form, _ = ntuple.to_akform(filter_field=is_chosen)
    records = ntuple.column_records
    # A column's number is in the key of its form; each cluster may hold another column of the
    # same field, with the same values.
    columns = {int(number) for number in re.findall(r'"column-(\d+)', form.to_json())}
    fields = {records[column].field_id for column in columns}
    for links in ntuple.page_link_list:
        for record, column in zip(records, links, strict=False):
            if record.field_id in fields:
                for page in column.pages:
                    start = page.locator.offset
                    yield start, start + page.locator.num_bytes


def _is_string(form: Any) -> bool:
    return form.parameter("__array__") in ("string", "bytestring")


class _BodySource(Source):  # type: ignore[misc]
    """Uproot's view of the bytes of a result."""

    closed = False

    def __init__(self, path: str, *, body: Body, **_: Any) -> None:
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
