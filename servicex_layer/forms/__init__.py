"""The awkward form of a result before any file exists: from what is known of it.

A form is made of a text, a dictionary of columns, a sample of the results, or the query.
"""

from __future__ import annotations

from servicex_layer.columns import datashape_of
from servicex_layer.forms.func_adl import from_func_adl
from servicex_layer.forms.given import given_form
from servicex_layer.forms.sample import datashape, from_sample
from servicex_layer.forms.uproot_raw import from_uproot_raw
from servicex_layer.forms.written import as_form

__all__ = [
    "as_form",
    "datashape",
    "datashape_of",
    "from_func_adl",
    "from_sample",
    "from_uproot_raw",
    "given_form",
]
