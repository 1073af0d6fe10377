from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from dask.base import compute

from servicex_layer.errors import BadDatasetError
from servicex_layer.submission._failed_sample import FailedSample

FAILED = FailedSample("ttbar", BadDatasetError("no such dataset"))


@pytest.mark.parametrize(
    "use",
    [
        lambda sample: sample.x,
        lambda sample: sample["x"],
        len,
        list,
        lambda sample: compute({"ttbar": sample}),
    ],
    ids=["attribute", "item", "len", "iter", "compute"],
)
def test_any_use_raises_the_error(use: Callable[[Any], object]):
    with pytest.raises(BadDatasetError, match="no such dataset"):
        use(FAILED)


def test_its_repr_names_the_sample_and_the_error():
    assert repr(FAILED) == "FailedSample<'ttbar' BadDatasetError: no such dataset>"


@pytest.mark.parametrize("duplicate", [copy.copy, lambda it: pickle.loads(pickle.dumps(it))])  # noqa: S301
def test_it_can_be_copied_and_pickled(duplicate: Callable[[FailedSample], FailedSample]):
    assert repr(duplicate(FAILED)) == repr(FAILED)
