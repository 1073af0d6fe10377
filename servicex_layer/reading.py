"""Reads chosen columns of one result file."""

from __future__ import annotations

import atexit
import functools
import io
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any, Self

import awkward as ak
import httpx
import tenacity
import uproot
from awkward.forms import RecordForm

from servicex_layer.config import seconds
from servicex_layer.errors import (
    AmbiguousTreeError,
    CorruptResultError,
    MissingObjectError,
    ResultError,
    SchemaMismatchError,
    TreeNotFoundError,
)
from servicex_layer.forms import conform
from servicex_layer.model import Location
from servicex_layer.rest import http_timeout, tls

__all__ = ["ExpiredLocationError", "fetch", "form_of", "read"]

# What a transformer writes its columns into.
_TREES = ("TTree", "TNtuple", "TNtupleD")


class ExpiredLocationError(ResultError):
    """The object store does not accept the URL, or not any more."""


def fetch(location: Location, what: str) -> bytes:
    """Get the bytes of a result.

    Parameters
    ----------
    location : Location
        Where they are.
    what : str
        Which result, for errors.

    Raises
    ------
    ExpiredLocationError
        Where the store refuses the URL.
    MissingObjectError
        Where the store has no such object, or cannot be reached.
    """
    attempts = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(httpx.TransportError),
        wait=tenacity.wait_random_exponential(multiplier=0.2, max=5.0),
        stop=tenacity.stop_after_delay(seconds("retry-timeout") or 0.0),
        reraise=True,
    )
    try:
        response = attempts(_http().get, location.url, headers=dict(location.headers))
    except httpx.TransportError as error:
        # The error's own text may hold the URL, and the URL its signature.
        raise MissingObjectError(
            f"{what} could not be fetched: no connection to the object store at "
            f"{httpx.URL(location.url).host} ({type(error).__name__})."
        ) from None
    if response.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        raise ExpiredLocationError(
            f"{what} could not be fetched: the object store refuses the URL that the backend gave "
            f"({response.status_code})."
        )
    if response.status_code != HTTPStatus.OK:
        raise MissingObjectError(
            f"{what} could not be fetched: the object store answered {response.status_code} "
            f"{response.reason_phrase}."
        )
    return response.content


def read(body: bytes, form: RecordForm, columns: Sequence[str], tree: str | None, what: str) -> Any:
    """Read columns of a ROOT file.

    Parameters
    ----------
    body : bytes
        The file.
    form : awkward.forms.RecordForm
        What its columns are.
    columns : sequence of str
        Which of them to read.
    tree : str or None
        The tree's name; ``None`` for the file's only one.
    what : str
        Which file, for errors.

    Returns
    -------
    awkward.contents.RecordArray
        One record per event, with these columns only.

    Raises
    ------
    CorruptResultError, TreeNotFoundError, AmbiguousTreeError, SchemaMismatchError
        As their names say.
    """
    with _Opened(body, tree, what) as opened:
        branches = {name: opened.branch(name) for name in columns}
        contents = [
            conform(layout, form.content(name), name, what)
            for name, layout in opened.layouts(branches).items()
        ]
        return ak.contents.RecordArray(contents, list(columns), length=opened.entries)


def form_of(body: bytes, tree: str | None, what: str) -> RecordForm:
    """Tell the form of a ROOT file's tree, without reading an event.

    Parameters are those of `read`, as are the errors.
    """
    with _Opened(body, tree, what) as opened:
        return opened.form()


class _Opened:
    """A tree of a ROOT file that is in memory; what Uproot finds amiss names the file."""

    def __init__(self, body: bytes, tree: str | None, what: str) -> None:
        self._what = what
        try:
            self._file = uproot.open(io.BytesIO(body))
            self._tree = self._choose(tree)
        except ResultError:
            raise
        except Exception as error:
            raise self._corrupt(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def entries(self) -> int:
        return int(self._tree.num_entries)

    def branch(self, name: str) -> Any:
        for branch in _columns(self._tree):
            if branch.name == name:
                return branch
        raise SchemaMismatchError(
            f"The column {name!r} is in the form but not in {self._what}, whose tree "
            f"{self._tree.name!r} has {', '.join(branch.name for branch in _columns(self._tree))}."
        )

    def layouts(self, branches: dict[str, Any]) -> dict[str, ak.contents.Content]:
        if not branches:
            return {}
        # By identity: as mappings of their subbranches, any two branches without some are equal.
        chosen = {id(branch) for branch in branches.values()}
        try:
            arrays = self._tree.arrays(
                filter_branch=lambda branch: id(branch) in chosen, library="ak", how=dict
            )
        except Exception as error:
            raise self._corrupt(error) from error
        return {name: arrays[name].layout for name in branches}

    def form(self) -> RecordForm:
        branches = list(_columns(self._tree))
        forms = [branch.interpretation.awkward_form(self._tree.file) for branch in branches]
        return RecordForm(forms, [branch.name for branch in branches])

    def _choose(self, tree: str | None) -> Any:
        classes = self._file.classnames(recursive=True, cycle=False)
        trees = [name for name, kind in classes.items() if kind in _TREES]
        if tree is not None and tree not in trees:
            raise TreeNotFoundError(
                f"{self._what} has no tree {tree!r}; it has {', '.join(trees) or 'no tree at all'}."
            )
        if tree is None and not trees:
            raise TreeNotFoundError(f"{self._what} has no tree at all.")
        if tree is None and len(trees) > 1:
            raise AmbiguousTreeError(
                f"{self._what} has several trees: {', '.join(trees)}. Choose one with tree=…"
            )
        return self._file[tree or trees[0]]

    def _corrupt(self, error: Exception) -> CorruptResultError:
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
        return CorruptResultError(f"{self._what} is no ROOT file that can be read: {first_line}")


def _columns(tree: Any) -> Iterable[Any]:
    """Go through the branches that hold values, in the file's order."""
    for branch in tree.branches:
        if isinstance(branch.interpretation, uproot.interpretation.identify.UnknownInterpretation):
            yield from _columns(branch)
        else:
            yield branch


@functools.cache
def _http() -> httpx.Client:
    """Give the process's connections to object stores."""
    client = httpx.Client(timeout=http_timeout(), verify=tls(), follow_redirects=True)
    atexit.register(client.close)
    return client
