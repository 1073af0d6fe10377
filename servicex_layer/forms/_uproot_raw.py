"""The form of what an ``uproot-raw`` query selects: run the query on a sample of its input."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from awkward.forms import RecordForm

from servicex_layer._model import is_url
from servicex_layer.errors import FormError, InvalidArgumentError, ServiceXLayerError
from servicex_layer.forms._sample import from_sample

__all__ = ["check_query_and_sample", "from_uproot_raw", "is_uproot_raw"]


def from_uproot_raw(
    query: Any,
    sample: str | os.PathLike[str],
    tree: str | None = None,
    result_format: str = "root-file",
) -> RecordForm:
    """Return the form of the results of an ``uproot-raw`` query.

    Runs the query on the sample, without reading an event, and reads the form of the result. So
    the form has the counter branches that the results have.

    Parameters
    ----------
    query : object
        A ``servicex.query.UprootRaw``, its list of dictionaries, or the ``selection`` of a request.
    sample : str or os.PathLike
        The path or URL of an input file: one with the trees and branches of the query.
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
        If the query cannot be run on the sample.
    ResultError
        If the result lacks the tree, or has several trees and none is named.

    Examples
    --------
    >>> query = [{"treename": "events", "filter_name": "Jet_P*", "cut": "NJet > 2"}]
    >>> print(from_uproot_raw(query, "input.root").type)  # doctest: +SKIP
    {nJet_Px: int32, Jet_Px: var * float32}
    """
    # Uproot is slow to import, and making an array does not need it.
    from servicex_layer.uproot_raw import run_query

    path = check_query_and_sample(query, sample)
    with tempfile.TemporaryDirectory(prefix="servicex-layer-") as directory:
        result = Path(directory) / "result"
        try:
            run_query(path, _selection(query), result, result_format, entry_stop=0)
        # Uproot and the user's expressions can raise anything.
        except Exception as error:
            message = str(getattr(error, "message", error)).strip() or type(error).__name__
            kind = "" if isinstance(error, ServiceXLayerError) else f"{type(error).__name__}: "
            raise FormError(
                f"The query cannot be run on the sample {path!r}: {kind}{message.splitlines()[0]}"
            ) from error
        return from_sample(result, tree)


def is_uproot_raw(query: Any) -> bool:
    """Return whether an object is an ``uproot-raw`` query, in any of its spellings."""
    if hasattr(query, "generate_selection_string"):
        query = query.generate_selection_string()
    return isinstance(query, list) or (isinstance(query, str) and query.lstrip().startswith("["))


def check_query_and_sample(query: Any, sample: Any) -> str:
    """Check a query and the sample of its input without opening it; return its path or URL.

    Raises
    ------
    FormError
        If the query is not valid, or the sample is missing.
    """
    from servicex_layer.uproot_raw import parse_selection

    try:
        parse_selection(_selection(query))
    except (TypeError, ValueError, InvalidArgumentError) as error:
        raise FormError(
            f"{query!r} is not a valid uproot-raw query: {error}. Pass a servicex.query.UprootRaw, "
            'a list of dictionaries such as [{"treename": "events"}], or its JSON.'
        ) from error
    if not isinstance(sample, (str, os.PathLike)):
        raise FormError(
            "The sample beside an uproot-raw query must be the path or URL of an input file, not "
            f"{sample!r}."
        )
    text = str(os.fspath(sample))
    if is_url(text):
        return text
    path = Path(text).expanduser()
    if not path.is_file():
        raise FormError(f"The sample {text!r} to run the query on does not exist.")
    return str(path)


def _selection(query: Any) -> str:
    """Write a query as the ``selection`` of a request, without the copies of histograms."""
    if hasattr(query, "generate_selection_string"):
        query = query.generate_selection_string()
    if isinstance(query, str):
        query = json.loads(query)
    if isinstance(query, dict):
        query = [query]
    if isinstance(query, list):
        query = [entry for entry in query if "copy_histograms" not in entry]
    return json.dumps(query)
