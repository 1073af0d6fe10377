"""The form of a result before any file exists: from a datashape, a sample, or the query.

Each function returns an awkward form, or a datashape to paste. `servicex_layer.from_servicex` calls
the right one itself: its argument ``form`` takes the same inputs.
"""

from __future__ import annotations

from servicex_layer.forms._argument import parse_form as parse_form  # for other packages
from servicex_layer.forms._datashape import as_form
from servicex_layer.forms._func_adl import from_func_adl
from servicex_layer.forms._func_adl import is_func_adl as is_func_adl  # for other packages
from servicex_layer.forms._sample import datashape, from_sample
from servicex_layer.forms._uproot_raw import from_uproot_raw
from servicex_layer.forms._uproot_raw import is_uproot_raw as is_uproot_raw  # for other packages
from servicex_layer.reading import datashape_of

__all__ = [
    "as_form",
    "datashape",
    "datashape_of",
    "from_func_adl",
    "from_sample",
    "from_uproot_raw",
]


def __dir__() -> list[str]:
    return sorted(__all__)
