"""Accepts the argument ``form=``: one branch for each kind of value."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from awkward.forms import RecordForm

from servicex_layer._model import is_url
from servicex_layer.errors import FormError
from servicex_layer.forms._datashape import as_form
from servicex_layer.forms._func_adl import from_func_adl, is_func_adl
from servicex_layer.forms._sample import from_sample
from servicex_layer.forms._uproot_raw import check_query_and_sample, from_uproot_raw, is_uproot_raw

__all__ = ["parse_form"]


def parse_form(form: Any, tree: str | None = None) -> Callable[[str], RecordForm]:
    """Turn the argument ``form`` into an awkward form.

    Parameters
    ----------
    form : object
        See `servicex_layer.from_servicex`.
    tree : str, optional
        The name of the tree in the results.

    Returns
    -------
    callable
        Takes the format of the results, ``root-file``, ``root-rntuple`` or ``parquet``, and returns
        the form. Only that of an ``uproot-raw`` query depends on the format.

    Raises
    ------
    FormError
        If the argument does not define a form.
    """
    if isinstance(form, tuple) and len(form) == 2:
        query, rest = form
        if is_func_adl(query):
            return _for_any_format(from_func_adl(query, rest))
        check_query_and_sample(query, rest)
        return lambda result_format: from_uproot_raw(query, rest, tree, result_format)
    if is_func_adl(form):
        return _for_any_format(from_func_adl(form))
    if is_uproot_raw(form):
        raise FormError(
            "The columns of an uproot-raw query depend on its input. Pass a sample of the input as "
            "well: form=(query, 'input.root'), a file with the trees and branches of the query."
        )
    if isinstance(form, os.PathLike) or (isinstance(form, str) and _is_file(form)):
        return _for_any_format(from_sample(form, tree))
    if isinstance(form, str) and not any(letter in form for letter in "{[*("):
        raise FormError(
            f"form={form!r} is neither a datashape such as '{{JetPt: var * float64}}' nor the path "
            "of an existing file."
        )
    return _for_any_format(as_form(form))


def _for_any_format(form: RecordForm) -> Callable[[str], RecordForm]:
    return lambda _result_format: form


def _is_file(text: str) -> bool:
    try:
        return is_url(text) or Path(text).expanduser().is_file()
    except (OSError, ValueError, RuntimeError):
        # The text is not a valid path on this system.
        return False
