"""The awkward form of a result before any file exists: from what is known of it.

A form is made of a text, a dictionary of columns, a sample of the results, or the query.
"""

from __future__ import annotations

from servicex_layer.forms._func_adl import from_func_adl
from servicex_layer.forms._given import given_form
from servicex_layer.forms._sample import datashape, from_sample
from servicex_layer.forms._uproot_raw import from_uproot_raw
from servicex_layer.forms._written import as_form
from servicex_layer.reading import datashape_of

__all__ = [
    "as_form",
    "datashape",
    "datashape_of",
    "from_func_adl",
    "from_sample",
    "from_uproot_raw",
    "given_form",
]
