"""Result files by number, for fsspec."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import fsspec
import pyarrow.parquet as pq
import pytest

from servicex_layer.errors import InvalidArgumentError
from servicex_layer.local import Faults, LocalServiceX


def test_results_can_be_read_as_files(
    finished: Callable[..., str], inputs: list[Path], stored: Any
):
    request_id = finished(inputs)
    content = stored(request_id, 2).read_bytes()
    url = f"servicex://{request_id}/2-of-4"
    files = fsspec.filesystem("servicex")
    assert files.exists(url)
    assert files.size(url) == len(content)
    assert files.cat(url) == content
    assert files.info(url)["input"] == str(inputs[2])
    assert files.cat_ranges([url, url], [0, 5], [4, 1_000_000]) == [content[:4], content[5:]]
    with pytest.raises(InvalidArgumentError, match="can only be read"):
        files.open(url, "wb")
    files.close()
    with pickle.loads(pickle.dumps(fsspec.open(url))) as file:  # noqa: S301
        file.seek(-10, 2)
        assert file.read() == content[-10:]
        assert file.seek(3) == file.tell() == 3
        assert file.read(4) == content[3:7]


def test_parquet_results_can_be_read_as_files(finished: Callable[..., str], inputs: list[Path]):
    request_id = finished(inputs, result_format="parquet")
    with fsspec.open(f"servicex://{request_id}/2-of-4") as file:
        assert ak.from_arrow(pq.read_table(file)).x[0] == 200


@pytest.mark.parametrize("path", ["5f1c0d3e", "5f1c0d3e/1", "a@b@5f1c0d3e/1-of-2", "x/a-of-b"])
def test_a_url_of_another_form_is_an_error(path: str):
    with pytest.raises(InvalidArgumentError, match="must be servicex://backend@request/N-of-M"):
        fsspec.open(f"servicex://{path}").open()


@pytest.mark.filterwarnings("ignore::servicex_layer.errors.FailedFilesWarning")
def test_a_failed_file_does_not_exist(
    use_service: Callable[[LocalServiceX], None], inputs: list[Path]
):
    files = fsspec.filesystem("servicex")
    with LocalServiceX(faults=Faults(failing={1})) as service:
        use_service(service)
        request_id = service.submit(inputs, tree="events")
        exist = [files.exists(f"servicex://{request_id}/{number}-of-4") for number in range(4)]
        with pytest.raises(FileNotFoundError, match=r"has no result: its input .*1\.root failed"):
            files.open(f"servicex://{request_id}/3-of-4")
        files.close()
    assert exist == [True, True, True, False]


def test_a_number_beyond_the_files_does_not_exist(finished: Callable[..., str], inputs: list[Path]):
    request_id = finished(inputs)
    with pytest.raises(FileNotFoundError, match="has no result: there are fewer files"):
        fsspec.open(f"servicex://{request_id}/4-of-5").open()
