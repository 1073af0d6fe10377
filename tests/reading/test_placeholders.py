"""Lists of lengths; their items rest on private names of awkward."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from servicex_layer.forms import as_form
from servicex_layer.reading._placeholders import lists_of_lengths


def test_lists_of_lengths_have_no_items():
    form = as_form("{c: {pt: float64, s: string}}").content("c")
    lists = ak.Array(lists_of_lengths(np.array([2, 0, 1]), form))
    assert str(lists.type) == "3 * var * {pt: float64, s: string}"
    assert ak.num(lists).to_list() == [2, 0, 1]
    with pytest.raises(RuntimeError, match="placeholder"):
        ak.sum(lists.pt)
