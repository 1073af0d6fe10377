from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import fsspec
import numpy as np
import pytest
import uproot
from click.testing import CliRunner

from servicex_layer import from_servicex
from servicex_layer.cli import main
from servicex_layer.errors import (
    AmbiguousTreeError,
    CorruptResultError,
    FormError,
    MissingExtraError,
    TreeNotFoundError,
)
from servicex_layer.forms import datashape, from_sample

FORM = "{x: float64, n: int32, nv: int32, v: var * float64}"


def test_datashape_of_a_file(inputs: list[Path]):
    assert datashape(inputs[0]) == datashape(str(inputs[0])) == FORM


def test_path_may_be_in_the_home_directory(inputs: list[Path], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(inputs[0].parent))
    assert datashape(f"~/{inputs[0].name}") == FORM


@pytest.mark.parametrize("name", ["root:::host::a.root", "a:events", "a.root.1", "{a}", "a b#c?d"])
def test_file_may_have_any_name(tmp_path: Path, inputs: list[Path], name: str):
    path = tmp_path / name
    path.write_bytes(inputs[0].read_bytes())
    assert datashape(path) == FORM


def test_sample_may_be_a_url(serve: Any, inputs: list[Path]):
    body = inputs[0].read_bytes()
    url = serve(lambda _, path: (200, body, {}) if path == "/a.root" else (404, b"", {}))
    assert datashape(f"{url}/a.root") == FORM
    assert datashape(inputs[0].as_uri()) == FORM
    with pytest.raises(FormError, match=r"sample 'http.*/b.root' cannot be read"):
        datashape(f"{url}/b.root")


def test_url_may_need_an_extra():
    fsspec.register_implementation("lacking", "lacking.FileSystem", errtxt="lacking is not there")
    with pytest.raises(MissingExtraError, match=r"lacking is not there.*servicex_layer\[http\]"):
        datashape("lacking://host/a.root")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("nowhere.root", "sample 'nowhere.root' cannot be read: No such file"),
        (".", "sample '.' cannot be read: Is a directory"),
        ("quux://host/a.root", "'quux://host/a.root' cannot be read: Protocol not known: quux"),
    ],
)
def test_missing_sample_is_an_error(path: str, words: str):
    with pytest.raises(FormError, match=words):
        from_sample(path)


@pytest.mark.parametrize("body", [b"", b"x", b"hello, world"])
def test_other_file_is_an_error(tmp_path: Path, body: bytes):
    (tmp_path / "a").write_bytes(body)
    with pytest.raises(FormError, match="neither a ROOT file nor a Parquet file"):
        from_sample(tmp_path / "a")


@pytest.mark.parametrize("size", [4, 100, 300])
def test_truncated_file_is_an_error(tmp_path: Path, inputs: list[Path], size: int):
    (tmp_path / "a").write_bytes(inputs[0].read_bytes()[:size])
    with pytest.raises(CorruptResultError, match=r"The sample .* cannot be read as a ROOT file"):
        from_sample(tmp_path / "a")


@pytest.fixture
def two_trees(tmp_path: Path) -> Path:
    with uproot.recreate(tmp_path / "two.root") as file:
        file.mktree("one", {"x": np.arange(3.0)})
        file.mkrntuple("two", ak.Array({"y": [[1, 2], [], [3]]}))
    return tmp_path / "two.root"


def test_tree_is_chosen_by_name(two_trees: Path):
    assert datashape(two_trees, "one") == "{x: float64}"
    assert datashape(two_trees, "two") == "{y: var * int64}"
    with pytest.raises(AmbiguousTreeError, match="several trees: one, two"):
        datashape(two_trees)
    with pytest.raises(TreeNotFoundError, match="no tree 'three'"):
        datashape(two_trees, "three")


@pytest.mark.dask_awkward
def test_tree_of_a_request_is_that_of_its_sample(
    finished: Callable[..., str], inputs: list[Path], two_trees: Path
):
    with uproot.update(two_trees) as file:
        file.mktree("events", {"n": np.arange(3)})
    events = from_servicex(finished(inputs), tree="events", form=two_trees)
    assert ak.sum(events.n).compute() == 180


def test_program_prints_the_datashape(inputs: list[Path], two_trees: Path):
    run = CliRunner().invoke
    assert run(main, ["form", str(inputs[0])]).output == f"{FORM}\n"
    assert run(main, ["form", str(two_trees), "--tree", "two"]).output == "{y: var * int64}\n"
    for arguments, words in [
        (["nowhere.root"], "Error: The sample 'nowhere.root' cannot be read"),
        ([str(two_trees)], "several trees: one, two"),
    ]:
        result = run(main, ["form", *arguments])
        assert result.exit_code == 1
        assert words in result.output
