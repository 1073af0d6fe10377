from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from servicex import dataset

import servicex_layer as sxl
from servicex_layer.errors import BadDatasetError, InvalidArgumentError
from servicex_layer.local import LocalServiceX


@pytest.mark.dask_awkward
def test_submit_returns_the_id_of_the_request(
    service: LocalServiceX, uproot_raw: Any, inputs: list[Path], x_of: Any
):
    files = dataset.FileList([str(inputs[0])])
    request_id = sxl.submit(uproot_raw, files, output_format="root-rntuple")
    assert sxl.submit(uproot_raw, files, output_format="root-rntuple") == request_id
    assert sxl.submit(uproot_raw, files, output_format="parquet") != request_id
    assert sorted(sxl.from_servicex(request_id).x.compute()) == x_of(0)


@pytest.mark.dask_awkward
def test_submit_takes_a_selection_with_its_code_generator(
    service: LocalServiceX, inputs: list[Path], x_of: Any
):
    files = dataset.FileList([str(inputs[0])])
    selection = '[{"treename": "events"}]'
    request_id = sxl.submit(selection, files, codegen="uproot-raw", title="a title")
    assert sorted(sxl.from_servicex(request_id).x.compute()) == x_of(0)


def test_a_selection_without_a_code_generator_is_an_error(
    service: LocalServiceX, inputs: list[Path]
):
    files = dataset.FileList([str(inputs[0])])
    with pytest.raises(InvalidArgumentError, match=r"'servicex_layer' is not valid.*codegen"):
        sxl.submit("[]", files)


def test_an_empty_list_of_files_is_an_error_before_anything_is_submitted(
    service: LocalServiceX, uproot_raw: Any
):
    with pytest.raises(InvalidArgumentError, match="'no files' is an empty list of files"):
        sxl.submit(uproot_raw, dataset.FileList([]), title="no files")
    assert not service.traffic.calls


def test_the_backend_has_two_names(service: LocalServiceX, uproot_raw: Any, inputs: list[Path]):
    files = dataset.FileList([str(inputs[0])])
    request_id = sxl.submit(uproot_raw, files, backend="local")
    assert sxl.submit(uproot_raw, files, servicex_name="local") == request_id
    with pytest.raises(InvalidArgumentError, match="Pass only backend"):
        sxl.submit(uproot_raw, files, backend="local", servicex_name="local")


@pytest.mark.dask_awkward
def test_a_bad_dataset_is_an_error_of_the_array(service: LocalServiceX, uproot_raw: Any):
    request_id = sxl.submit(uproot_raw, dataset.Rucio("scope:name"))
    with pytest.raises(BadDatasetError, match="knows no dataset"):
        sxl.from_servicex(request_id)
