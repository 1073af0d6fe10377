"""The user's own files as the demo's input, looked at beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot
from awkward.forms import Form, RecordForm

from servicex_layer.demo._analysis import Analysis, of_column
from servicex_layer.errors import InvalidArgumentError

__all__ = ["analysis_of"]

_TREES = ("TTree", "TNtuple", "TNtupleD", "ROOT::RNTuple")


def analysis_of(files: Sequence[str], tree: str, column: str) -> Analysis:
    """Give the analysis of a column of files, its form and range taken from the first one.

    Raises
    ------
    InvalidArgumentError
        Where a file cannot be read, has no such tree or column, or holds no numbers there.
    """
    first = None
    for path in files:
        array = _column_of(path, tree, column, stop=None if first is None else 0)
        if first is None:
            first = array
    if first is None:
        raise InvalidArgumentError("There is no file to run on.")
    form = RecordForm([first.layout.form], [column])
    return of_column(tree, column, form, _span(first))


def _column_of(path: str, tree: str, column: str, stop: int | None) -> ak.Array:
    """Read the column as the embedded ServiceX does."""
    if "://" not in path and not Path(path).is_file():
        raise InvalidArgumentError(f"There is no file {path}.")
    try:
        # A text would be split at its last colon.
        with uproot.open({path: None}) as file:
            _check_tree(file, path, tree)
            found = file[tree].arrays(filter_name=[column], entry_stop=stop)
            columns = file[tree].keys(recursive=False)
    except InvalidArgumentError:
        raise
    except Exception as error:
        # Uproot's own errors put the reason below the circumstances, and into this attribute.
        said = str(getattr(error, "message", error)).strip()
        reason = (said or type(error).__name__).splitlines()[0]
        raise InvalidArgumentError(f"{path} cannot be read as a ROOT file: {reason}") from error
    if found.fields != [column]:
        raise InvalidArgumentError(
            f"The tree {tree!r} of {path} has no column {column!r}; it has {', '.join(columns)}."
        )
    if not _is_drawable(found[column].layout.form):
        raise InvalidArgumentError(
            f"The column {column!r} of {path} is of type {found[column].type.content}; the demo "
            "takes numbers and lists of numbers."
        )
    return found[column]


def _check_tree(file: Any, path: str, tree: str) -> None:
    classes = file.classnames(recursive=True, cycle=False)
    trees = [name for name, kind in classes.items() if kind in _TREES]
    if tree not in trees:
        raise InvalidArgumentError(
            f"{path} has no tree {tree!r}; it has {', '.join(trees) or 'no tree at all'}."
        )


def _is_drawable(form: Form) -> bool:
    if form.is_list and form.parameter("__array__") is None:
        form = form.content
    return form.is_numpy and np.dtype(form.primitive).kind in "biuf" and not form.parameters


def _span(values: ak.Array) -> tuple[float, float]:
    numbers = ak.to_numpy(ak.flatten(values, axis=None)).astype("f8")
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers):
        return 0.0, 1.0
    low, high = float(numbers.min()), float(numbers.max())
    # The upper end of an axis is not on it.
    margin = (high - low) / 100 or 0.5
    return low - margin, high + margin
