from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
import hist
import pytest

from servicex_layer.demo._analysis import Analysis
from servicex_layer.demo._inputs import analysis_of
from servicex_layer.demo._run import run, run_on_muons
from servicex_layer.errors import FailedFilesError

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.dask_awkward
def test_the_demo_prints_its_times_and_draws_a_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    output = tmp_path / "demo.png"
    run_on_muons(output, files=3, events=500, delay=0.1)
    stdout, stderr = capsys.readouterr()
    assert stderr == ""
    for line in (
        "3 of 3 partitions have a file, 1,500 events",
        "Last file finished:",
        "Result ready:",
        "Checked: plain Uproot gives the same",
    ):
        assert line in stdout
    assert output.read_bytes().startswith(PNG)


@pytest.mark.dask_awkward
def test_the_demo_derives_its_query(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run_on_muons(tmp_path / "demo.png", files=3, events=500, delay=0.1, derive=True)
    stdout, _ = capsys.readouterr()
    for line in (
        "columns: Muon_charge, Muon_eta, Muon_phi, Muon_pt",
        "cut:     (num(get('Muon_pt'), axis=1) >= 2)",
        "% saved",
        "Checked: plain Uproot gives the same",
    ):
        assert line in stdout


@pytest.mark.dask_awkward
def test_the_demo_on_files_of_the_user_prints_only_its_lines_and_leaves_only_the_picture(
    tmp_path: Path, jets: list[str]
):
    output = tmp_path / "demo.png"
    with socket.socket() as dashboard:
        # as if another cluster on this machine had the usual port
        with contextlib.suppress(OSError):
            dashboard.bind(("127.0.0.1", 8787))
        dashboard.listen()
        finished = subprocess.run(  # noqa: S603
            [
                *(sys.executable, "-c", "from servicex_layer.cli import main; main()", "demo"),
                *("--input", *jets, "--tree", "treeme", "--column", "JetPt"),
                *("--output", str(output)),
            ],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONWARNINGS": "always"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert finished.stderr == ""
    assert finished.returncode == 0
    first_words = [line.split(maxsplit=1)[0] for line in finished.stdout.splitlines()]
    assert first_words == [
        "Submitted",
        *("2", finished.stdout.splitlines()[2].split()[0], "seconds:", "workers:"),
        *("Last", "Result", "Picture:", "Checked:"),
    ]
    assert "6 entries" in finished.stdout
    assert output.read_bytes().startswith(PNG)
    assert {path.name for path in tmp_path.iterdir()} == {"demo.png", *map(os.path.basename, jets)}


class FirstFileOnly(Analysis):
    """An analysis whose plain histogram lacks files."""

    def fill_plainly(self, files: Iterable[str]) -> hist.Hist[Any]:
        return super().fill_plainly(list(files)[:1])


@pytest.mark.dask_awkward
def test_a_histogram_that_differs_from_plain_uproot_is_an_error(tmp_path: Path, jets: list[str]):
    analysis = FirstFileOnly(**vars(analysis_of(jets, "treeme", "JetPt")))
    with pytest.raises(click.ClickException, match="6 entries instead of 3"):
        run(jets, analysis, tmp_path / "demo.png", delay=0.0)


@pytest.mark.dask_awkward
def test_a_file_that_servicex_fails_to_transform_is_an_error(
    tmp_path: Path, jets: list[str], capfd: pytest.CaptureFixture[str]
):
    analysis = analysis_of(jets, "treeme", "JetPt")
    Path(jets[1]).write_text("no ROOT file")
    with pytest.raises(FailedFilesError, match="1 of 2 files failed"):
        run(jets, analysis, tmp_path / "demo.png", delay=0.0)
    stdout, stderr = capfd.readouterr()
    assert stdout.startswith("Submitted request ")
    assert stderr == ""
