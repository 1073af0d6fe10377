from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from click.testing import Result

from servicex_layer.demo._inputs import analysis_of
from servicex_layer.errors import InvalidArgumentError


@pytest.mark.dask_awkward
@pytest.mark.parametrize(
    ("tree", "column", "message"),
    [
        ("nope", "JetPt", "has no tree 'nope'; it has treeme, other."),
        ("treeme", "nope", "has no column 'nope'; it has nJetPt, JetPt, met."),
        ("treeme", "Jet*", "has no column 'Jet*'"),
    ],
)
def test_the_error_for_a_wrong_name_lists_the_right_ones(
    demo: Callable[..., Result], jets: list[str], tree: str, column: str, message: str
):
    run = demo("--input", *jets, "--tree", tree, "--column", column)
    assert run.exit_code == 1
    assert run.output.startswith("Error: ")
    assert message in run.output


def test_every_file_is_checked_before_submission(tmp_path: Path, jets: list[str]):
    with pytest.raises(InvalidArgumentError, match=r"input file .*gone\.root does not exist"):
        analysis_of([*jets, str(tmp_path / "gone.root")], "treeme", "JetPt")
    text = tmp_path / "text.root"
    text.write_text("no ROOT file")
    with pytest.raises(InvalidArgumentError, match=r"text\.root cannot be read as a ROOT file"):
        analysis_of([*jets, str(text)], "treeme", "JetPt")


def test_a_corrupt_file_is_an_error_that_names_it(jets: list[str]):
    corrupt = Path(jets[1])
    with uproot.open({corrupt: "treeme"}) as tree:
        start = int(tree["JetPt"].member("fBasketSeek")[0])
    content = bytearray(corrupt.read_bytes())
    content[start : start + 80] = bytes(80)
    corrupt.write_bytes(content)
    with pytest.raises(InvalidArgumentError, match=r"jets:1\.root cannot be read as a ROOT file: "):
        analysis_of(jets, "treeme", "JetPt")


def test_a_column_without_numbers_is_an_error(tmp_path: Path):
    path = tmp_path / "text.root"
    with uproot.recreate(path) as file:
        file.mktree("t", {"name": "string"}).extend({"name": ak.Array(["a", "bc"])})
    with pytest.raises(InvalidArgumentError, match=r"'name' of .* is of type string"):
        analysis_of([str(path)], "t", "name")


def test_the_axis_holds_all_values_of_the_first_file(jets: list[str]):
    histogram = analysis_of(jets, "treeme", "JetPt").fill_plainly(jets[:1])
    assert histogram.sum(flow=False) == histogram.sum(flow=True) == 3


@pytest.mark.parametrize("values", [[], [7, 7, 7]])
def test_no_values_or_equal_values_have_an_axis(tmp_path: Path, values: list[int]):
    path = tmp_path / "few.root"
    with uproot.recreate(path) as file:
        file.mktree("t", {"x": "int64"}).extend({"x": np.array(values, dtype="i8")})
    axis = analysis_of([str(path)], "t", "x").axis
    assert axis.edges[0] < axis.edges[-1]
