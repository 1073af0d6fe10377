"""The language of ``uproot-raw`` expressions: Uproot's, with functions of awkward."""

from __future__ import annotations

from functools import partial
from typing import Any

import awkward as ak
from uproot.language.python import PythonLanguage

__all__ = ["expression_language"]

_UNCHANGED = (
    "almost_equal",
    "argcartesian",
    "argcombinations",
    "argsort",
    "broadcast_arrays",
    "broadcast_fields",
    "cartesian",
    "combinations",
    "drop_none",
    "fill_none",
    "firsts",
    "is_none",
    "isclose",
    "mask",
    "num",
    "pad_none",
    "singletons",
    "sort",
    "where",
)
# The server changes their default of `axis`, so that a cut works within events. It fixes the
# argument by its name: with a position for `axis` the call fails.
_WITHIN_EVENTS = (
    "all",
    "any",
    "argmax",
    "argmin",
    "concatenate",
    "count",
    "count_nonzero",
    "max",
    "mean",
    "min",
    "moment",
    "nanargmax",
    "nanargmin",
    "nanmax",
    "nanmean",
    "nanmin",
    "nanprod",
    "nanstd",
    "nansum",
    "nanvar",
    "prod",
    "softmax",
    "std",
    "sum",
    "var",
)
_AXES = {"flatten": 2, **dict.fromkeys(_WITHIN_EVENTS, 1)}


def expression_language(*, standard_axis: bool = False) -> PythonLanguage:
    """Return the language of expressions and cuts.

    Parameters
    ----------
    standard_axis : bool
        Whether functions of awkward keep their own default of `axis`. By default most of them work
        within events, with ``axis=1``.
    """
    functions: dict[str, Any] = {name: getattr(ak, name) for name in (*_UNCHANGED, *_AXES)}
    if not standard_axis:
        functions |= {name: partial(functions[name], axis=axis) for name, axis in _AXES.items()}
    return PythonLanguage(functions={**PythonLanguage.default_functions, **functions})
