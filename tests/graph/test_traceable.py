"""Concatenated arrays: their columns are traced through all of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import pytest
from optional_dask_awkward import dak  # type: ignore[import-not-found]

from servicex_layer import from_servicex

pytestmark = pytest.mark.dask_awkward


@pytest.mark.parametrize(
    "select",
    [
        pytest.param(lambda a, b: [a.x, b.n], id="numbers"),
        pytest.param(lambda a, b: [a.x, b.v], id="numbers-and-lists"),
        pytest.param(lambda a, b: [a[["x"]], b[["x", "n"]]], id="records"),
    ],
)
def test_arrays_of_different_forms_are_concatenated_as_awkward_does(
    finished: Callable[..., str], inputs: list[Path], select: Callable[..., list[Any]]
):
    a, b = (from_servicex(finished(inputs)) for _ in range(2))
    lazy = dak.concatenate(select(a, b)).compute(scheduler="sync")
    eager = ak.concatenate(select(a.compute(scheduler="sync"), b.compute(scheduler="sync")))
    assert lazy.to_list() == eager.to_list()
