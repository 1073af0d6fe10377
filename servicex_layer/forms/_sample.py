"""Forms of files that are there: of a result of another request, or of the input's own columns."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from awkward.forms import Form, RecordForm

from servicex_layer.errors import FormError, MissingExtraError
from servicex_layer.reading import datashape_of, open_bytes
from servicex_layer.transport import Range

__all__ = ["datashape", "from_sample", "is_url"]

# The first four bytes tell the format.
_FORMATS = {b"PAR1": "parquet", b"root": "root-file"}


def datashape(path: str | os.PathLike[str], tree: str | None = None) -> str:
    """Tell what an event of a file looks like, as a text to paste.

    Parameters
    ----------
    path : str or os.PathLike
        The path or URL of a ROOT or Parquet file.
    tree : str, optional
        The name of the tree; by default the file's only one.

    Returns
    -------
    str
        A datashape, as ``form`` takes it.

    Raises
    ------
    FormError
        Where the file is not there, or is of another kind.
    ResultError
        Where it cannot be read, or has not one tree.

    Examples
    --------
    >>> datashape("result.root")  # doctest: +SKIP
    '{JetPt: var * float64, met: float32}'
    """
    return datashape_of(_without_halves(from_sample(path, tree)))


def from_sample(path: str | os.PathLike[str], tree: str | None = None) -> RecordForm:
    """Tell the form of a file.

    Parameters
    ----------
    path : str or os.PathLike
        As in `datashape`, as are the errors.
    tree : str, optional
        As in `datashape`.

    Returns
    -------
    awkward.forms.RecordForm
        The form of an event.
    """
    what = f"The sample {os.fspath(path)!r}"
    with _opened(os.fspath(path)) as file:
        body = _FileBody(file)
        result_format = _FORMATS.get(bytes(body.read(0, min(4, body.size))))
        if result_format is None:
            raise FormError(f"{what} is neither a ROOT file nor a Parquet file.")
        with open_bytes(body, result_format, tree, what) as table:
            return table.form()


def _without_halves(form: Form) -> Form:
    """Take ``float32`` for ``float16``, which datashapes do not have: it holds all the values."""
    if form.is_numpy:
        return form.copy(primitive="float32") if form.primitive == "float16" else form
    if form.is_record or form.is_union:
        return form.copy(contents=[_without_halves(content) for content in form.contents])
    return form if form.is_unknown else form.copy(content=_without_halves(form.content))


def is_url(text: str) -> bool:
    """Tell a URL from a path."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) is not None


@contextmanager
def _opened(path: str) -> Iterator[Any]:
    if not is_url(path):
        try:
            with Path(path).expanduser().open("rb") as file:
                yield file
        except OSError as error:
            raise FormError(f"There is no sample {path!r} to read: {error.strerror}.") from error
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
        raise FormError(f"There is no sample {path!r} to read: {error}.") from error


class _FileBody:
    """The bytes of a file that is open."""

    size: int

    def __init__(self, file: Any) -> None:
        self.size = file.seek(0, io.SEEK_END)
        self._file = file

    def fetch(self, ranges: Iterable[Range]) -> None:
        """Do nothing: a form is told by few bytes."""

    def read(self, start: int, stop: int) -> memoryview:
        """Read from the first byte of a range to before its last."""
        self._file.seek(start)
        return memoryview(self._file.read(stop - start))
