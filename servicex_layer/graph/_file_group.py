"""Reading several files for one partition: at the same time, and joined in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import awkward as ak
import numpy as np
from awkward.contents import Content, RecordArray
from awkward.forms import RecordForm

from servicex_layer.reading import lists_of_lengths
from servicex_layer.transport import ResultSource

__all__ = ["join_columns", "read_at_once"]

T = TypeVar("T")

# The files that one task reads at a time. Their bytes are in memory together.
_AT_ONCE = 8


def read_at_once(read: Callable[[ResultSource], T], sources: Sequence[ResultSource]) -> Iterator[T]:
    """Call a function with several results at a time; yield what it returns, in order.

    If a call fails, the others that have not begun never begin.
    """
    if len(sources) == 1:
        yield read(sources[0])
    elif sources:
        with ThreadPoolExecutor(min(len(sources), _AT_ONCE), "servicex-read") as threads:
            yield from threads.map(read, sources)


def join_columns(
    arrays: Sequence[RecordArray], form: RecordForm, offsets_only: frozenset[str] = frozenset()
) -> RecordArray:
    """Join the columns of several files.

    Parameters
    ----------
    arrays : sequence of awkward.contents.RecordArray
        Columns of the files: at least one, as `servicex_layer.reading.read` returns them.
    form : awkward.forms.RecordForm
        The form of all columns.
    offsets_only : frozenset of str
        Columns of lists of which only the lengths are joined; the items become placeholders.
    """
    # A file without events may have no tree, and then other fields of the records in its columns.
    arrays = [array for array in arrays if array.length] or arrays[:1]
    first = arrays[0]
    if len(arrays) == 1:
        return first
    contents = []
    for name in first.fields:
        columns = [array[name] for array in arrays]
        if name in offsets_only:
            contents.append(lists_of_lengths(_lengths(columns), form.content(name).content))
        else:
            contents.append(ak.concatenate(columns, highlevel=False))
    length = sum(array.length for array in arrays)
    return RecordArray(contents, first.fields, length=length, parameters=first.parameters)


def _lengths(columns: Sequence[Content]) -> np.ndarray:
    return np.concatenate([np.asarray(lists.stops) - np.asarray(lists.starts) for lists in columns])
