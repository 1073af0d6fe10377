from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dask.delayed import delayed
from optional_dask_awkward import dak  # type: ignore[import-not-found]

import servicex_layer as sxl
from servicex_layer.errors import InvalidArgumentError
from servicex_layer.monitor._requests import RequestSelection, requests_of


@pytest.mark.parametrize("argument", [(), ({},), (3,), (delayed(3),), ("",)])
def test_anything_without_a_request_is_an_error(argument: tuple[Any, ...]):
    with pytest.raises(InvalidArgumentError, match="Pass arrays of from_servicex"):
        sxl.progress(*argument)


@pytest.mark.dask_awkward
def test_a_collection_needs_the_partitions_that_it_is_made_of(finished: Any, inputs: list[Path]):
    request_id = finished(inputs)
    events = sxl.from_servicex(request_id)
    assert requests_of([dak.sum(events.x)]) == [
        RequestSelection(request_id, request_id, "local", 4)
    ]
    (selection,) = requests_of([events.partitions[1:3].x])
    assert selection.partitions == 2
    # of two collections, the larger selection
    (selection,) = requests_of([events.partitions[:1], events.partitions[1:]])
    assert selection.partitions == 3


@pytest.mark.dask_awkward
def test_a_mapping_names_requests_and_arrays_with_their_reports(finished: Any, inputs: list[Path]):
    first, second = finished(inputs[:1]), finished(inputs[:2])
    samples = {"a": sxl.from_servicex(first, report=True), "b": second}
    assert requests_of([samples]) == [
        RequestSelection("a", first, "local", 1),
        RequestSelection("b", second, "local", None),
    ]
