"""Some columns of a form, and an array that has only some of them."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import awkward as ak
import numpy as np
from awkward.forms import Form, RecordForm, form_with_unique_keys
from awkward.typetracer import PlaceholderArray, unknown_length

from servicex_layer.errors import SchemaMismatchError

__all__ = [
    "KINDS",
    "datashape_of",
    "fill_unread",
    "lists",
    "missing_column_error",
    "placeholder",
    "plain",
    "select_columns",
]

# Parameters that make another type of the same buffers; the others are for people.
KINDS = frozenset({"string", "bytestring", "char", "byte", "categorical"})


def plain(form: Form) -> Form:
    """Write a form in the one way that its type has, of which others differ in their buffers.

    Without the parameters that make no other type, and with lists for numbers of a fixed shape.
    """

    def strip(value: Any) -> Any:
        if isinstance(value, list):
            return [strip(item) for item in value]
        if not isinstance(value, dict):
            return value
        stripped = {key: strip(item) for key, item in value.items() if key != "parameters"}
        kind = (value.get("parameters") or {}).get("__array__")
        if kind in KINDS:
            stripped["parameters"] = {"__array__": kind}
        if kind == "categorical" and stripped["class"] == "IndexedOptionArray":
            # Arrow's; a datashape has the categories within the option.
            inner = {**stripped, "class": "IndexedArray"}
            stripped = {"class": "IndexedOptionArray", "index": "i64", "content": inner}
        for size in reversed(stripped.pop("inner_shape", ())):
            stripped = {"class": "RegularArray", "size": size, "content": stripped}
        return stripped

    return ak.forms.from_dict(strip(form.to_dict(verbose=False)))


def datashape_of(form: Form) -> str:
    """Write a form as a datashape, without the parameters that do not change its meaning.

    Parameters
    ----------
    form : awkward.forms.Form
        Any form.

    Returns
    -------
    str
        Such as ``{JetPt: var * float64}``.
    """
    return str(plain(form).type)


def missing_column_error(name: str, where: str, there: Iterable[str]) -> SchemaMismatchError:
    """Make the error of a column that a file does not have.

    Parameters
    ----------
    name : str
        The column.
    where : str
        The file.
    there : iterable of str
        The columns that it has.
    """
    return SchemaMismatchError(
        f"The column {name!r} is in the form but not in {where}, which has {', '.join(there)}."
    )


def select_columns(
    form: RecordForm, columns: frozenset[str] | None, *, nested: bool = True
) -> RecordForm:
    """Take some columns of a form.

    Parameters
    ----------
    form : awkward.forms.RecordForm
        All columns.
    columns : frozenset of str or None
        Their names; those of fields within records begin with the record's, and a dot. ``None``
        takes all.
    nested : bool
        Whether to take some fields of a record without the others.

    Examples
    --------
    >>> muons = ak.forms.from_type(
    ...     ak.types.from_datashape(
    ...         "{muons: var * {pt: float64, eta: float64}, met: float32}", highlevel=False
    ...     )
    ... )
    >>> datashape_of(select_columns(muons, frozenset({"muons.pt"})))
    '{muons: var * {pt: float64}}'
    """
    if columns is None:
        return form
    parents = {
        column[:place] for column in columns for place, letter in enumerate(column) if letter == "."
    }
    return _select(form, columns, parents, "", nested=nested)


def _select(
    form: Any, columns: frozenset[str], parents: set[str], prefix: str, *, nested: bool = True
) -> Any:
    if form.is_union:
        return form
    if not form.is_record:
        return form.copy(content=_select(form.content, columns, parents, prefix))
    contents = {}
    for name in form.fields:
        path, content = f"{prefix}{name}", form.content(name)
        if path in columns:
            contents[name] = content
        # A column "a.b" need not be a field of another column "a".
        elif path in parents and content.fields:
            inner = _select(content, columns, parents, f"{path}.") if nested else content
            if inner.fields:
                contents[name] = inner
    return form.copy(contents=list(contents.values()), fields=list(contents))


def fill_unread(array: ak.contents.Content, form: Form) -> ak.contents.Content:
    """Give records all of their fields, with placeholders for those not read.

    ``ak.num(events.x, axis=0)`` needs an ``x``, but nothing that is in it; and behaviors go by the
    fields that are there: no four-vector has a ``pt`` and nothing else.

    Parameters
    ----------
    array : awkward.contents.Content
        Some columns, as `cast_to_form` gives them.
    form : awkward.forms.Form
        All columns.
    """
    if array.is_indexed and not (array.is_option and form.is_option):
        return array.copy(content=fill_unread(array.content, form))
    if form.is_indexed and not form.is_option:
        return fill_unread(array, form.content)
    if not array.is_record:
        if (array.is_list or array.is_option) and form.parameter("__array__") not in KINDS:
            return array.copy(content=fill_unread(array.content, form.content))
        return array
    missing = [name for name in form.fields if name not in array.fields]
    there = {name: fill_unread(array.content(name), form.content(name)) for name in array.fields}
    if not missing:
        return array.copy(contents=list(there.values()))  # a tuple remains one
    left = RecordForm([form.content(name) for name in missing], missing)
    stand_ins = _placeholders(left, array.length)
    there |= {name: stand_ins.content(name) for name in missing}
    contents = [there[name] for name in form.fields]
    return array.copy(contents=contents, fields=form.fields)


def placeholder(dtype: np.dtype[Any]) -> Any:
    """Give a buffer that stands for what is not read, and says so to who touches it."""
    return PlaceholderArray(nplike=_nplike(), shape=(unknown_length,), dtype=dtype)


@functools.cache
def _nplike() -> Any:
    return ak.contents.NumpyArray(np.empty(0)).backend.nplike


def lists(counts: Any, form: Form) -> ak.contents.Content:
    """Make lists of which only the lengths are known: placeholders stand for what is in them.

    Parameters
    ----------
    counts : numpy.ndarray
        The length of each.
    form : awkward.forms.Form
        What they are lists of.
    """
    offsets = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    content = _placeholders(form, int(offsets[-1]))
    return ak.contents.ListOffsetArray(ak.index.Index64(offsets), content)


def _placeholders(form: Form, length: int) -> ak.contents.Content:
    keyed = form_with_unique_keys(form, "@")
    buffers = {key: placeholder(dtype) for key, dtype in keyed.expected_from_buffers().items()}
    return ak.from_buffers(keyed, length, buffers, highlevel=False)
