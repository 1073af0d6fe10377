"""Forms of what an ``uproot-raw`` query makes: by running it on a sample of its input."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from awkward.forms import RecordForm

from servicex_layer.errors import FormError, InvalidArgumentError, ServiceXLayerError
from servicex_layer.forms._sample import from_sample, is_url

__all__ = ["checked", "from_uproot_raw", "is_uproot_raw"]


def from_uproot_raw(
    query: Any,
    sample: str | os.PathLike[str],
    tree: str | None = None,
    result_format: str = "root-file",
) -> RecordForm:
    """Tell the form of what an ``uproot-raw`` query makes of a file.

    The query is run on no event of the sample, and the result is written and read as those of the
    request are: so counter branches are as they will be.

    Parameters
    ----------
    query : object
        The query: a ``servicex.query.UprootRaw``, its list of dictionaries, or the ``selection``
        of a request.
    sample : str or os.PathLike
        The path or URL of a file with the trees and branches that the query is about.
    tree : str, optional
        The name of the tree in the result; by default its only one.
    result_format : {"root-file", "root-rntuple", "parquet"}
        The format of the results.

    Returns
    -------
    awkward.forms.RecordForm
        The form of an event.

    Raises
    ------
    FormError
        Where the query cannot be run on the sample.
    ResultError
        Where the result has not one tree.

    Examples
    --------
    >>> query = [{"treename": "events", "filter_name": "Jet_P*", "cut": "NJet > 2"}]
    >>> print(from_uproot_raw(query, "input.root").type)  # doctest: +SKIP
    {nJet_Px: int32, Jet_Px: var * float32}
    """
    # Uproot is not needed to make an array, and takes its time to import.
    from servicex_layer.uproot_raw import run_query

    path = checked(query, sample)
    with tempfile.TemporaryDirectory(prefix="servicex-layer-") as directory:
        result = Path(directory) / "result"
        try:
            run_query(path, _selection(query), result, result_format, entry_stop=0)
        # whatever Uproot and the user's expressions raise
        except Exception as error:
            said = str(getattr(error, "message", error)).strip() or type(error).__name__
            kind = "" if isinstance(error, ServiceXLayerError) else f"{type(error).__name__}: "
            raise FormError(
                f"The query cannot be run on the sample {path!r}: {kind}{said.splitlines()[0]}"
            ) from error
        return from_sample(result, tree)


def is_uproot_raw(query: Any) -> bool:
    """Tell whether something is an ``uproot-raw`` query, in any of the ways of writing it."""
    if hasattr(query, "generate_selection_string"):
        query = query.generate_selection_string()
    return isinstance(query, list) or (isinstance(query, str) and query.lstrip().startswith("["))


def checked(query: Any, sample: Any) -> str:
    """Check a query and a sample of its input without a look into it; give its path or URL.

    Raises
    ------
    FormError
        Where one is not such, or the file is not there.
    """
    from servicex_layer.uproot_raw import parse_selection

    try:
        parse_selection(_selection(query))
    except (TypeError, ValueError, InvalidArgumentError) as error:
        raise FormError(
            f"{query!r} is no uproot-raw query: {error}. Give a servicex.query.UprootRaw, a list "
            'of dictionaries such as [{"treename": "events"}], or its JSON.'
        ) from error
    if not isinstance(sample, (str, os.PathLike)):
        raise FormError(
            f"To an uproot-raw query belongs the path or URL of a sample of its input, and not "
            f"{sample!r}."
        )
    text = str(os.fspath(sample))
    path = Path(text).expanduser()
    if is_url(text):
        return text
    if not path.is_file():
        raise FormError(f"There is no sample {text!r} to run the query on.")
    return str(path)


def _selection(query: Any) -> str:
    """Write what a query says of trees as the ``selection`` of a request."""
    if hasattr(query, "generate_selection_string"):
        query = query.generate_selection_string()
    if isinstance(query, str):
        query = json.loads(query)
    if isinstance(query, dict):
        query = [query]
    if isinstance(query, list):
        # histograms are copied beside the trees
        query = [entry for entry in query if "copy_histograms" not in entry]
    return json.dumps(query)
