"""Forms of whatever a user gives as ``form``."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from awkward.forms import RecordForm

from servicex_layer.errors import FormError
from servicex_layer.forms._func_adl import from_func_adl, is_func_adl
from servicex_layer.forms._sample import from_sample, is_url
from servicex_layer.forms._uproot_raw import checked, from_uproot_raw, is_uproot_raw
from servicex_layer.forms._written import as_form

__all__ = ["given_form"]


def given_form(form: Any, tree: str | None = None) -> Callable[[str], RecordForm]:
    """Make a form of whatever a user gives for it.

    Parameters
    ----------
    form : object
        See `servicex_layer.from_servicex`.
    tree : str, optional
        The name of the tree in the results.

    Returns
    -------
    callable
        Gives the form, called with the format of the results: ``root-file``, ``root-rntuple`` or
        ``parquet``. Only what an ``uproot-raw`` query makes depends on it.

    Raises
    ------
    FormError
        Where no form can be made of it.
    """
    if isinstance(form, tuple) and len(form) == 2:
        query, told = form
        if is_func_adl(query):
            return _always(from_func_adl(query, told))
        checked(query, told)
        return lambda result_format: from_uproot_raw(query, told, tree, result_format)
    if is_func_adl(form):
        return _always(from_func_adl(form))
    if is_uproot_raw(form):
        raise FormError(
            "What an uproot-raw query makes depends on its input, of which it needs a sample: give "
            "form=(query, 'input.root'), with a file that has its trees and branches."
        )
    if isinstance(form, os.PathLike) or (isinstance(form, str) and _is_file(form)):
        return _always(from_sample(form, tree))
    if isinstance(form, str) and not any(letter in form for letter in "{[*("):
        raise FormError(
            f"form={form!r} is neither a datashape such as '{{JetPt: var * float64}}', nor the "
            "path of a file that is there."
        )
    return _always(as_form(form))


def _always(form: RecordForm) -> Callable[[str], RecordForm]:
    return lambda _: form


def _is_file(text: str) -> bool:
    try:
        return is_url(text) or Path(text).expanduser().is_file()
    except (OSError, ValueError, RuntimeError):
        # what cannot be a name on this system
        return False
