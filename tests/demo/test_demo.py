from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from click.testing import CliRunner, Result

import servicex_layer as sxl
from servicex_layer.cli._main import main
from servicex_layer.demo import check_extras
from servicex_layer.demo._analysis import Analysis, dimuon_mass
from servicex_layer.demo._events import TREE, write_file
from servicex_layer.demo._inputs import analysis_of
from servicex_layer.demo._run import run_on_muons
from servicex_layer.errors import InvalidArgumentError, MissingExtraError

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def jets(tmp_path: Path) -> list[str]:
    paths = []
    for number in range(2):
        path = tmp_path / f"jets:{number}.root"
        with uproot.recreate(path) as file:
            tree = file.mktree("treeme", {"JetPt": "var * float64", "met": "float64"})
            tree.extend(
                {"JetPt": ak.Array([[30.0 + number, 120.0], [], [50.0]]), "met": np.ones(3)}
            )
            # an empty tree beside it, of which nothing is wanted
            file.mktree("other", {"x": "float64"})
        paths.append(str(path))
    return paths


def demo(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["demo", *arguments])


def test_generated_events_have_the_z_peak(tmp_path):
    path = tmp_path / "z.root"
    write_file(path, 20_000, seed=1)
    mass = dimuon_mass(TREE).fill_plainly([str(path)])
    edges = mass.axes[0].edges
    assert edges[np.argmax(mass.values())] == pytest.approx(91.2, abs=1.0)
    above_half = np.flatnonzero(mass.values() > mass.values().max() / 2)
    assert 2.0 < edges[above_half[-1] + 1] - edges[above_half[0]] < 6.0


def test_generated_events_are_jagged_and_depend_on_the_seed_only(tmp_path):
    for name, seed in {"a": 1, "b": 1, "c": 2}.items():
        write_file(tmp_path / name, 1000, seed)
    muons = {name: uproot.open({tmp_path / name: TREE})["Muon_pt"].array() for name in "abc"}
    assert {0, 1, 2, 3} <= set(ak.num(muons["a"]).tolist())
    assert ak.array_equal(muons["a"], muons["b"])
    assert not ak.array_equal(muons["a"], muons["c"])


def test_demo_on_muons(tmp_path, capsys):
    output = tmp_path / "demo.png"
    run_on_muons(output, files=3, events=500, delay=0.1)
    said, warned = capsys.readouterr()
    assert warned == ""
    for line in ("Last file finished:", "Result ready:", "Checked: plain Uproot gives the same"):
        assert line in said
    assert output.read_bytes().startswith(PNG)


def test_demo_on_own_files_says_nothing_but_what_it_should(tmp_path, jets):
    output = tmp_path / "demo.png"
    with socket.socket() as dashboard:
        # another cluster on this machine, ours or somebody else's
        with contextlib.suppress(OSError):
            dashboard.bind(("127.0.0.1", 8787))
        dashboard.listen()
        run = subprocess.run(  # noqa: S603
            [
                *(sys.executable, "-c", "from servicex_layer.cli import main; main()", "demo"),
                *(
                    "--input",
                    *jets,
                    "--tree",
                    "treeme",
                    "--column",
                    "JetPt",
                    "--output",
                    str(output),
                ),
            ],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONWARNINGS": "always"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert run.stderr == ""
    assert run.returncode == 0
    words = [line.split(maxsplit=1)[0] for line in run.stdout.splitlines()]
    assert words == [
        *("Submitted", "Partitions", "Array", "Last", "Result", "Picture:", "Checked:"),
    ]
    assert "6 entries" in run.stdout
    assert output.read_bytes().startswith(PNG)
    # nothing else is left behind
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("demo.png", "jets:0.root", "jets:1.root"),
    ]


def test_a_difference_is_found(tmp_path, jets, monkeypatch):
    fill = Analysis.fill_plainly
    monkeypatch.setattr(Analysis, "fill_plainly", lambda self, files: fill(self, files[:1]))
    output = str(tmp_path / "demo.png")
    run = demo("--input", *jets, "--tree", "treeme", "--column", "JetPt", "--output", output)
    assert run.exit_code == 1
    assert "differs from that of plain Uproot" in run.output
    assert "6 entries against 3" in run.output


@pytest.mark.parametrize(
    ("tree", "column", "said"),
    [
        ("nope", "JetPt", "has no tree 'nope'; it has treeme, other."),
        ("treeme", "nope", "has no column 'nope'; it has nJetPt, JetPt, met."),
        ("treeme", "Jet*", "has no column 'Jet*'"),
    ],
)
def test_wrong_names_are_told(jets, tree, column, said):
    run = demo("--input", *jets, "--tree", tree, "--column", column)
    assert run.exit_code == 1
    assert run.output.startswith("Error: ")
    assert said in run.output


def test_every_file_is_looked_at_beforehand(tmp_path, jets):
    with pytest.raises(InvalidArgumentError, match=r"There is no file .*gone\.root"):
        analysis_of([*jets, str(tmp_path / "gone.root")], "treeme", "JetPt")
    text = tmp_path / "text.root"
    text.write_text("no ROOT file")
    with pytest.raises(InvalidArgumentError, match=r"text\.root cannot be read as a ROOT file"):
        analysis_of([*jets, str(text)], "treeme", "JetPt")


def test_a_broken_file_is_told(jets):
    broken = Path(jets[1])
    with uproot.open({broken: "treeme"}) as tree:
        start = int(tree["JetPt"].member("fBasketSeek")[0])
    content = bytearray(broken.read_bytes())
    content[start : start + 80] = bytes(80)
    broken.write_bytes(content)
    with pytest.raises(InvalidArgumentError, match=r"jets:1\.root cannot be read as a ROOT file: "):
        analysis_of(jets, "treeme", "JetPt")


def test_a_file_that_servicex_cannot_transform_is_told(tmp_path, jets, monkeypatch, capfd):
    failing = partial(sxl.local.LocalServiceX, faults=sxl.local.Faults(failing={1}))
    monkeypatch.setattr("servicex_layer.demo._run.LocalServiceX", failing)
    output = str(tmp_path / "demo.png")
    run = demo("--input", *jets, "--tree", "treeme", "--column", "JetPt", "--output", output)
    assert run.exit_code == 1
    assert "1 of 2 files failed" in run.output
    assert capfd.readouterr() == ("", "")


def test_a_column_of_no_numbers_is_told(tmp_path):
    path = tmp_path / "text.root"
    with uproot.recreate(path) as file:
        file.mktree("t", {"name": "string"}).extend({"name": ak.Array(["a", "bc"])})
    with pytest.raises(InvalidArgumentError, match=r"'name' of .* is of type string"):
        analysis_of([str(path)], "t", "name")


def test_the_axis_holds_all_values_of_the_first_file(jets):
    analysis = analysis_of(jets, "treeme", "JetPt")
    filled = analysis.fill_plainly(jets[:1])
    assert filled.sum(flow=False) == filled.sum(flow=True) == 3


@pytest.mark.parametrize("column", ["x", "constant"])
def test_an_axis_is_found_for_few_values(tmp_path, column):
    path = tmp_path / "few.root"
    with uproot.recreate(path) as file:
        file.mktree("t", {"x": "float64"}) if column == "x" else file.mktree(
            "t", {"constant": "int64"}
        ).extend({"constant": np.full(3, 7)})
    axis = analysis_of([str(path)], "t", column).axis
    assert axis.edges[0] < axis.edges[-1]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--input", "a.root", "--tree", "t"],
        ["--input", "a.root", "--column", "x"],
        ["--tree", "t"],
        ["--output", "no/such/directory/demo.png"],
    ],
)
def test_options_that_make_no_sense_are_told(arguments):
    run = demo(*arguments)
    assert run.exit_code == 2
    assert "Error: " in run.output


def test_missing_extras_are_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "hist", None)
    with pytest.raises(MissingExtraError, match=r"hist.*servicex_layer\[local,plot\]"):
        check_extras()
    run = demo()
    assert run.exit_code == 1
    assert run.output.startswith("Error: The demo needs hist, ")
