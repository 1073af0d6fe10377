from __future__ import annotations

import pickle
from typing import Any

import cloudpickle
import pytest

from servicex_layer import SXFileLayer
from servicex_layer.errors import InvalidArgumentError

REQUEST = "b5901cca-9858-42e7-a093-0929cf391f0e"
MANY = 100_000


@pytest.mark.parametrize("pickler", [pickle, cloudpickle])
def test_a_pickle_is_small_at_any_number_of_files(pickler: Any):
    files = SXFileLayer(REQUEST, MANY)
    culled, _ = files.cull({(files.name, number) for number in range(70_000, 99_000)}, set())
    for layer in (files, culled):
        body = pickler.dumps(layer)
        assert len(body) < 1000
        copy = pickle.loads(body)  # noqa: S301
        assert (len(copy), set(copy)) == (len(layer), set(layer))


def test_the_layer_is_a_mapping_of_its_tasks():
    files = SXFileLayer(REQUEST, 3)
    expected = [(files.name, number) for number in range(3)]
    assert list(files) == list(files.keys()) == expected
    assert dict(files).keys() == files.get_output_keys() == set(expected)
    assert not files.is_materialized()
    wrong: Any
    for wrong in [(files.name, 3), (files.name, -1), ("other", 0), files.name, (files.name, "0")]:
        assert wrong not in files
        with pytest.raises(KeyError):
            files[wrong]
    assert len(SXFileLayer(REQUEST, 0)) == 0


@pytest.mark.parametrize("numbers", [[], [0], [2, 3, 4], [1, 4], range(10)])
def test_cull_keeps_the_requested_files(numbers: list[int]):
    files = SXFileLayer(REQUEST, 10)
    keys: set[Any] = {(files.name, number) for number in numbers}
    culled, dependencies = files.cull(keys | {("other", 1)}, set())
    assert (set(culled), len(culled), culled.name) == (keys, len(numbers), files.name)
    assert dependencies == {key: set() for key in keys}
    assert all(key in culled for key in keys)
    assert (files.name, 9) in files
    assert set(culled.cull(keys, set())[0]) == keys


def test_a_mock_waits_for_nothing():
    files = SXFileLayer(REQUEST, MANY)
    assert dict(files.mock()) == {(files.name, 0): None}


def test_same_arguments_make_the_same_keys():
    assert SXFileLayer(REQUEST, 3).name == SXFileLayer(REQUEST, 3).name


@pytest.mark.parametrize(
    "change",
    [
        {"request_id": "another"},
        {"npartitions": 4},
        {"backend": "another"},
        {"on_failed": "raise"},
        {"max_failed": 0.5},
    ],
)
def test_other_arguments_make_other_keys(change: dict[str, Any]):
    other = SXFileLayer(**{"request_id": REQUEST, "npartitions": 3, **change})
    assert other.name != SXFileLayer(REQUEST, 3).name


def test_the_repr_names_the_request_and_its_partitions():
    files = SXFileLayer(REQUEST, 5)
    assert REQUEST in repr(files)
    assert "5" in repr(files)


def test_the_notebook_view_shows_request_and_backend():
    info = SXFileLayer("5f1c<0d3e>", 3, backend="uc-af").layer_info_dict()
    assert (info["request"], info["backend"]) == ("5f1c&lt;0d3e&gt;", "uc-af")
    assert info["partitions"] == "3"


@pytest.mark.parametrize("npartitions", [-1, 1.0, "3", None, True, 2.5])
def test_npartitions_must_be_a_non_negative_integer(npartitions: Any):
    with pytest.raises(InvalidArgumentError, match=r"npartitions=.* must be") as caught:
        SXFileLayer(REQUEST, npartitions)
    assert repr(npartitions) in str(caught.value)


@pytest.mark.parametrize("request_id", ["", None, 5, b"id"])
def test_a_request_id_must_be_a_non_empty_string(request_id: Any):
    with pytest.raises(InvalidArgumentError, match="is not a valid request id"):
        SXFileLayer(request_id, 3)


def test_on_failed_must_be_skip_or_raise():
    with pytest.raises(InvalidArgumentError, match="on_failed='ignore'"):
        SXFileLayer(REQUEST, 3, on_failed="ignore")


@pytest.mark.parametrize("max_failed", [-0.1, 1.5, "half", None])
def test_max_failed_must_be_a_fraction(max_failed: Any):
    with pytest.raises(InvalidArgumentError, match="from 0 to 1"):
        SXFileLayer(REQUEST, 3, max_failed=max_failed)


def test_max_failed_needs_skip():
    with pytest.raises(InvalidArgumentError, match="on_failed='skip'"):
        SXFileLayer(REQUEST, 3, on_failed="raise", max_failed=0.5)


def test_a_clone_has_keys_of_its_own():
    files = SXFileLayer(REQUEST, 3)
    clone, is_bound = files.clone(set(files), seed="seed")
    assert not is_bound
    assert not set(clone) & set(files)
    assert len(clone) == 3
    assert [task.key for task in dict(clone).values()] == list(clone)
    assert clone.name == files.clone(set(files), seed="seed")[0].name


def test_a_clone_of_other_layers_leaves_this_one():
    files = SXFileLayer(REQUEST, 3)
    assert files.clone({("other", 0)}, seed="seed") == (files, False)


def test_a_bound_clone_waits_for_another_task_first():
    files = SXFileLayer(REQUEST, 3)
    clone, is_bound = files.clone(set(files), seed="seed", bind_to="checkpoint")
    assert is_bound
    assert all(clone[key].dependencies == {"checkpoint"} for key in clone)
    _, dependencies = clone.cull(set(clone), set())
    assert dependencies == {key: {"checkpoint"} for key in clone}
