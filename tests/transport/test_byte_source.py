from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import dask.config
import numpy as np
import pytest
from transport.scripted_store import (  # type: ignore[import-not-found]
    BODY,
    DESCRIPTION,
    END_SIZE,
    FILE,
    SECRET,
    ScriptedStore,
    check_reads,
    open_object,
    send_range,
)

from servicex_layer import from_servicex
from servicex_layer._model import Location, ResultFile
from servicex_layer.errors import CorruptResultError, MissingObjectError
from servicex_layer.local import LocalServiceX
from servicex_layer.transport import OpenFileBytes, ResultSource
from servicex_layer.transport._byte_source import FileBytes

# An object in a store


def test_small_result_is_fetched_whole(store: ScriptedStore):
    with dask.config.set({"servicex-layer.range-threshold": "2MB"}):
        body = open_object(store)
    check_reads(body)
    assert store.ranges == [None]
    assert (body.transfer.requests, body.transfer.received) == (1, len(BODY))
    assert body.transfer.seconds > 0


def test_large_result_is_fetched_in_ranges(store: ScriptedStore):
    body = open_object(store)
    assert sorted(store.ranges) == [(0, END_SIZE), (len(BODY) - END_SIZE, len(BODY))]
    body.fetch([(400_000, 410_000), (200_000, 210_000)])
    assert sorted(store.ranges[2:]) == [(200_000, 210_000), (400_000, 410_000)]
    assert body.read(201_000, 202_000) == BODY[201_000:202_000]
    assert body.read(0, 1000) == BODY[:1000]
    assert len(store.calls) == 4
    assert body.transfer.requests == 4
    assert body.transfer.asked == 2000
    assert body.transfer.received == 2 * END_SIZE + 20_000


def test_every_range_has_the_right_bytes(store: ScriptedStore):
    check_reads(open_object(store))


def test_ranges_with_small_gaps_are_one_request(store: ScriptedStore):
    body = open_object(store)
    body.fetch([(start, start + 950) for start in range(200_000, 250_000, 1000)])
    assert store.ranges[2:] == [(200_000, 249_950)]
    body.fetch([(300_000, 310_000), (320_000, 330_000)])
    assert len(store.ranges[3:]) == 2


def test_small_consecutive_reads_are_few_requests(store: ScriptedStore):
    body = open_object(store)
    for start in range(400_000, 460_000, 100):
        assert body.read(start, start + 100) == BODY[start : start + 100]
    assert len(store.calls) == 2 + 2


@pytest.mark.parametrize("length", [1, 1000, END_SIZE, 50_000, 100_001, 140_000, len(BODY)])
@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("threshold", [0, 100_000])
def test_objects_of_all_sizes(store: ScriptedStore, length: int, announced: bool, threshold: int):
    expected = BODY[:length]
    store.answer = lambda byte_range: send_range(byte_range, expected)
    with dask.config.set({"servicex-layer.range-threshold": threshold}):
        body = open_object(store, size=length if announced else 0)
    assert body.size == length
    check_reads(body, expected)


def test_object_of_unknown_size_is_not_fetched_whole(store: ScriptedStore):
    """C++ transformers report a size of 0."""
    body = open_object(store, size=0)
    assert body.transfer.received < 200_000
    assert body.transfer.requests == 2


def test_object_may_be_longer_than_announced(store: ScriptedStore):
    body = open_object(store, size=500_000)
    assert body.size == len(BODY)
    check_reads(body)


# Files


def open_file(path: Path, file: ResultFile = FILE, **options: bool) -> FileBytes:
    location = Location("", path=str(path))
    return FileBytes(ResultSource(file, lambda _: location, DESCRIPTION), str(path), **options)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a:b c%2F.root"
    path.write_bytes(BODY)
    return path


@pytest.mark.parametrize("mapped", [True, False])
def test_file_on_a_volume_is_read_in_place(path: Path, mapped: bool):
    body = open_file(path, mapped=mapped)
    check_reads(body)
    assert body.transfer.requests == 0
    assert body.transfer.received == body.transfer.asked > 0


def test_file_shorter_than_announced_is_an_error(path: Path):
    with pytest.raises(CorruptResultError, match=f"{DESCRIPTION} has {len(BODY)} bytes"):
        open_file(path, replace(FILE, size=len(BODY) + 1))


def test_missing_file_is_an_error(tmp_path: Path):
    with pytest.raises(MissingObjectError, match=f"{DESCRIPTION} cannot be read.*No such file"):
        open_file(tmp_path / "nowhere")


def test_file_that_is_not_mapped_is_not_open_either(path: Path):
    body = open_file(path, mapped=False)
    path.write_bytes(b"")  # would empty a mapped file
    check_reads(body)


def test_empty_file_has_no_bytes(tmp_path: Path):
    (tmp_path / "empty").touch()
    body = open_file(tmp_path / "empty", replace(FILE, size=0))
    assert body.size == 0
    assert body.read(0, 0).nbytes == 0


def test_read_beyond_the_end_is_an_error(store: ScriptedStore, path: Path):
    for body in (open_object(store), open_file(path)):
        for start, stop in [(0, len(BODY) + 1), (-1, 2), (3, 2)]:
            with pytest.raises(CorruptResultError, match=DESCRIPTION):
                body.read(start, stop)


def test_open_file_is_read_by_seeking():
    with io.BytesIO(BODY) as file:
        body = OpenFileBytes(file)
        assert body.size == len(BODY)
        check_reads(body)


# End to end

NAMES = ["a:b", "a b", "a%b%20", "a+b", "a*b", "a?b#c&d=e", "µ", "a'\"<>|\\~[]{}", "..a", "-"]


@pytest.fixture(scope="module")
def awkward_names(
    tmp_path_factory: pytest.TempPathFactory, write_file: Callable[..., Path]
) -> list[Path]:
    """Files that are large enough for ranges of their own."""
    directory = tmp_path_factory.mktemp("awkward")
    noise = np.random.default_rng(1).random(100_000)
    return [
        write_file(
            directory / name, events={"x": np.full(len(noise), index, np.int8), "noise": noise}
        )
        for index, name in enumerate(NAMES)
    ]


@pytest.mark.dask_awkward
@pytest.mark.parametrize("result_format", ["root-file", "root-rntuple", "parquet"])
def test_any_name_of_an_object_can_be_read(
    service: LocalServiceX, awkward_names: list[Path], result_format: str
):
    request_id = service.submit(awkward_names, tree="events", result_format=result_format)
    array = from_servicex(request_id)
    with dask.config.set(scheduler="sync"):
        for threshold in ("1GB", 0):
            with dask.config.set({"servicex-layer.range-threshold": threshold}):
                x = array.x.compute()
            assert np.bincount(x).tolist() == [100_000] * len(NAMES)
    assert any(call.range is not None for call in service.traffic.files)


@pytest.mark.dask_awkward
def test_headers_of_a_location_reach_the_store(
    use_service: Callable[[LocalServiceX], None], inputs: list[Path]
):
    with LocalServiceX(file_headers={"x-key": SECRET}) as service:
        use_service(service)
        array = from_servicex(service.submit(inputs, tree="events"), form="{x: float64}")
        assert len(array.compute(scheduler="sync")) == 40
