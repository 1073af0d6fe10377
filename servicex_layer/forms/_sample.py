"""The form of a sample: of a result of an earlier request, or of any file with its columns."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from awkward.forms import Form, RecordForm

from servicex_layer._model import is_url
from servicex_layer.errors import FormError, MissingExtraError
from servicex_layer.reading import datashape_of, open_bytes
from servicex_layer.transport import OpenFileBytes

__all__ = ["datashape", "from_sample"]

_FORMATS = {b"PAR1": "parquet", b"root": "root-file"}
"""By the first four bytes of a file."""


def datashape(path: str | os.PathLike[str], tree: str | None = None) -> str:
    """Return the type of the events in a file as a datashape to paste.

    Parameters
    ----------
    path : str or os.PathLike
        The path or URL of a ROOT or Parquet file.
    tree : str, optional
        The name of the tree; by default the file's only one.

    Returns
    -------
    str
        A datashape that ``form`` takes.

    Raises
    ------
    FormError
        If the file is missing, or is neither a ROOT nor a Parquet file.
    MissingExtraError
        If reading from this kind of URL needs a package that is not installed.
    ResultError
        If the file cannot be read, lacks the tree, or has several trees and none is named.

    Examples
    --------
    >>> datashape("result.root")  # doctest: +SKIP
    '{JetPt: var * float64, met: float32}'
    """
    return datashape_of(_without_float16(from_sample(path, tree)))


def from_sample(path: str | os.PathLike[str], tree: str | None = None) -> RecordForm:
    """Return the form of the events in a file.

    Parameters
    ----------
    path : str or os.PathLike
        The path or URL of a ROOT or Parquet file.
    tree : str, optional
        The name of the tree; by default the file's only one.

    Returns
    -------
    awkward.forms.RecordForm
        The form of an event.

    Raises
    ------
    FormError, MissingExtraError, ResultError
        As `datashape` does.
    """
    path = os.fspath(path)
    description = f"The sample {path!r}"
    with _open(path) as file:
        body = OpenFileBytes(file)
        result_format = _FORMATS.get(bytes(body.read(0, min(4, body.size))))
        if result_format is None:
            raise FormError(f"{description} is neither a ROOT file nor a Parquet file.")
        with open_bytes(body, result_format, tree, description) as table:
            return table.form()


def _without_float16(form: Form) -> Form:
    """Replace ``float16``, which datashapes do not have, by ``float32``."""
    if form.is_numpy:
        return form.copy(primitive="float32") if form.primitive == "float16" else form
    if form.is_record or form.is_union:
        return form.copy(contents=[_without_float16(content) for content in form.contents])
    return form if form.is_unknown else form.copy(content=_without_float16(form.content))


@contextmanager
def _open(path: str) -> Iterator[BinaryIO]:
    if not is_url(path):
        try:
            with Path(path).expanduser().open("rb") as file:
                yield file
        except OSError as error:
            raise FormError(f"The sample {path!r} cannot be read: {error.strerror}.") from error
        return
    import fsspec

    try:
        opened = fsspec.open(path, "rb")
    except ImportError as error:
        raise MissingExtraError(
            f'The sample {path!r} cannot be read: {error}. pip install "servicex_layer[http]" for '
            "http and https, fsspec-xrootd for root."
        ) from error
    except ValueError as error:
        raise FormError(f"The sample {path!r} cannot be read: {error}.") from error
    try:
        with opened as file:
            yield file
    except OSError as error:
        raise FormError(f"The sample {path!r} cannot be read: {error}.") from error
