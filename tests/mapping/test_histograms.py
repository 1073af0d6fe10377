"""Histograms that each result file has beside its tree."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hist
import numpy as np
import pytest
import uproot

import servicex_layer as sxl
from servicex_layer.errors import (
    CorruptResultError,
    InvalidArgumentError,
    MissingExtraError,
    ResultError,
)


def new_weights(number: int) -> hist.Hist[Any]:
    weights = hist.Hist.new.Reg(5, 0, 5).Weight()
    weights.fill([0, 1, 4], weight=number + 1)
    return weights


@pytest.fixture
def weighted(finished: Callable[..., str], inputs: list[Path], stored: Any) -> str:
    """Return a request whose results have a histogram ``info/sumw`` beside their trees."""
    request_id = finished(inputs)
    for number in range(4):
        with uproot.recreate(stored(request_id, number)) as file:
            file.mktree("events", {"x": np.random.default_rng(1).random(9000)})
            file["info/sumw"] = new_weights(number)
            file["note"] = "no histogram"
    return request_id


@pytest.mark.parametrize("scheduler", ["sync", "cluster_of_processes"], indirect=True)
def test_histograms_are_summed(weighted: str, scheduler: str):
    total = sxl.histograms(weighted, "info/sumw").compute()
    assert total.values().tolist() == [10, 10, 0, 0, 10]
    assert total.variances().tolist() == [30, 30, 0, 0, 30]
    both = sxl.histograms({"a": weighted, "b": weighted}, "info/sumw").compute()
    assert both["a"] == both["b"] == total


def test_a_histogram_that_is_not_there_is_an_error(weighted: str):
    with pytest.raises(ResultError, match=r"input-\d\.root\) has no histogram 'sumw2'.*info/sumw"):
        sxl.histograms(weighted, "sumw2").compute(scheduler="sync")
    with pytest.raises(ResultError, match=r"'note' in .* not a histogram"):
        sxl.histograms(weighted, "note").compute(scheduler="sync")


def test_a_broken_file_is_named(weighted: str, stored: Any):
    path = stored(weighted, 2)
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(CorruptResultError, match=r"input-2\.root\) can't be read as a ROOT file"):
        sxl.histograms(weighted, "info/sumw").compute(scheduler="sync")


def test_parquet_files_have_no_histograms(finished: Callable[..., str], inputs: list[Path]):
    parquet = finished(inputs, result_format="parquet")
    with pytest.raises(ResultError, match="is a Parquet file"):
        sxl.histograms(parquet, "sumw").compute(scheduler="sync")


def test_a_name_is_needed():
    with pytest.raises(InvalidArgumentError, match="name='' must be a non-empty string"):
        sxl.histograms("5f1c0d3e", "")


def test_without_hist_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "hist", None)
    with pytest.raises(MissingExtraError, match=r"servicex_layer\[plot\]"):
        sxl.histograms("5f1c0d3e", "sumw")
