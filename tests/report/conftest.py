from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import awkward as ak
import pytest
from dask.base import compute

from servicex_layer import from_servicex
from servicex_layer.local import Faults, HttpFault, LocalServiceX

FORM = "{x: float64, n: int32, v: var * float64}"


@pytest.fixture
def records(use_service: Callable[[LocalServiceX], None], inputs: list[Path]) -> ak.Array:
    """Compute a report of four files: one failed, and the first two reads were retried."""
    faults = Faults(failing={1}, http=[HttpFault(route="file", status=503, first=2)])
    with LocalServiceX(faults=faults) as service:
        use_service(service)
        events, lazy = from_servicex(service.submit(inputs, tree="events"), form=FORM, report=True)
        with pytest.warns(UserWarning, match="1 of 4 files failed"):
            return compute(events.x, lazy, scheduler="threads")[1]


@pytest.fixture
def empty_records(service: LocalServiceX) -> ak.Array:
    """Compute the report of a request of no files."""
    _, lazy = from_servicex(service.submit([], tree="events"), report=True)
    return lazy.compute(scheduler="sync")
