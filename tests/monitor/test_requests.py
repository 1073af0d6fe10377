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


def test_a_result_of_map_files_needs_its_files(finished: Any, inputs: list[Path]):
    request_id = finished(inputs)
    expected = [RequestSelection(request_id, request_id, "local", 4)]
    mapped = sxl.map_files(len, request_id)
    assert requests_of([mapped]) == expected
    assert requests_of([delayed(str)(mapped)]) == expected
    assert requests_of([sxl.map_files(len, request_id, files_per_task=3)]) == expected
    assert requests_of([sxl.map_files(len, request_id, report=True)]) == expected
    assert requests_of([sxl.histograms(request_id, "sumw")]) == expected
    assert requests_of([{"all": mapped}]) == [RequestSelection("all", request_id, "local", 4)]


def test_a_result_of_samples_has_their_names(finished: Any, inputs: list[Path]):
    first, second = finished(inputs[:1]), finished(inputs[:2])
    samples: Any = sxl.map_files(len, {"a": first, "b": second})
    expected = [
        RequestSelection("a", first, "local", 1),
        RequestSelection("b", second, "local", 2),
    ]
    assert requests_of([samples]) == expected
    assert requests_of([samples["b"]]) == expected
