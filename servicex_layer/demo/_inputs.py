"""The user's files as input of the demo, checked before they are submitted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot
from awkward.forms import Form, RecordForm

from servicex_layer._model import is_url
from servicex_layer.demo._analysis import Analysis, column_values
from servicex_layer.errors import InvalidArgumentError

__all__ = ["analysis_of"]

_TREES = ("TTree", "TNtuple", "TNtupleD", "ROOT::RNTuple")


def analysis_of(files: Sequence[str], tree: str, column: str) -> Analysis:
    """Return the analysis of a column of files, with the form and range of the first file.

    Raises
    ------
    InvalidArgumentError
        If a file cannot be read, has no such tree or column, or the column holds no numbers.
    """
    first = None
    for path in files:
        array = _read_column(path, tree, column, stop=None if first is None else 0)
        if first is None:
            first = array
    if first is None:
        raise InvalidArgumentError("No input files. Name at least one ROOT file.")
    form = RecordForm([first.layout.form], [column])
    return column_values(tree, column, form, _span(first))


def _read_column(path: str, tree: str, column: str, stop: int | None) -> ak.Array:
    """Read the column as the embedded ServiceX does."""
    if not is_url(path) and not Path(path).is_file():
        raise InvalidArgumentError(f"The input file {path} does not exist.")
    try:
        # A mapping, because Uproot splits a string at its last colon.
        with uproot.open({path: None}) as file:
            _require_tree(file, path, tree)
            array = file[tree].arrays(filter_name=[column], entry_stop=stop)
            columns = file[tree].keys(recursive=False)
    except InvalidArgumentError:
        raise
    except Exception as error:
        # Uproot's errors begin with the context; their attribute `message` is the reason alone.
        message = str(getattr(error, "message", error)).strip()
        reason = (message or type(error).__name__).splitlines()[0]
        raise InvalidArgumentError(f"{path} cannot be read as a ROOT file: {reason}") from error
    if array.fields != [column]:
        raise InvalidArgumentError(
            f"The tree {tree!r} of {path} has no column {column!r}; it has {', '.join(columns)}."
        )
    if not _is_drawable(array[column].layout.form):
        raise InvalidArgumentError(
            f"The column {column!r} of {path} is of type {array[column].type.content}; the demo "
            "can draw numbers and lists of numbers."
        )
    return array[column]


def _require_tree(file: Any, path: str, tree: str) -> None:
    classes = file.classnames(recursive=True, cycle=False)
    trees = [name for name, classname in classes.items() if classname in _TREES]
    if tree not in trees:
        raise InvalidArgumentError(
            f"{path} has no tree {tree!r}; it has {', '.join(trees) or 'no trees'}."
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
    # An axis excludes its upper edge.
    margin = (high - low) / 100 or 0.5
    return low - margin, high + margin
