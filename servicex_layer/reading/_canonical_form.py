"""The one form of each type: forms can differ in their buffers and still have the same type."""

from __future__ import annotations

from typing import Any

import awkward as ak
from awkward.forms import Form

__all__ = ["SPECIAL_TYPES", "canonical_form", "datashape_of"]

# Values of the parameter `__array__` that make another type. Other parameters are documentation.
SPECIAL_TYPES = frozenset({"string", "bytestring", "char", "byte", "categorical"})


def canonical_form(form: Form) -> Form:
    """Rewrite a form such that equal types have equal forms.

    Drops the parameters that do not change the type, and writes numbers of a fixed shape as lists.
    """
    return ak.forms.from_dict(_canonical(form.to_dict(verbose=False)))


def _canonical(value: Any) -> Any:
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    if not isinstance(value, dict):
        return value
    canonical = {key: _canonical(item) for key, item in value.items() if key != "parameters"}
    special = (value.get("parameters") or {}).get("__array__")
    if special in SPECIAL_TYPES:
        canonical["parameters"] = {"__array__": special}
    if special == "categorical" and canonical["class"] == "IndexedOptionArray":
        # Arrow puts the option within the categories, a datashape the categories within the option.
        inner = {**canonical, "class": "IndexedArray"}
        canonical = {"class": "IndexedOptionArray", "index": "i64", "content": inner}
    for size in reversed(canonical.pop("inner_shape", ())):
        canonical = {"class": "RegularArray", "size": size, "content": canonical}
    return canonical


def datashape_of(form: Form) -> str:
    """Write a form as a datashape, without the parameters that do not change its type.

    Parameters
    ----------
    form : awkward.forms.Form
        Any form.

    Returns
    -------
    str
        A datashape, such as ``{JetPt: var * float64}``.
    """
    return str(canonical_form(form).type)
