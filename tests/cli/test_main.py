from __future__ import annotations

from pathlib import Path

import uproot
from click.testing import CliRunner

import servicex_layer as sxl
from servicex_layer.cli import main


def test_the_program_lists_its_commands():
    listed = CliRunner().invoke(main, ["--help"]).output.rpartition("Commands:")[2]
    names = [line.split()[0] for line in listed.splitlines() if line.strip()]
    assert names == ["cancel", "demo", "files", "form", "list", "logs", "serve", "status"]


def test_the_program_prints_the_version():
    assert CliRunner().invoke(main, ["--version"]).output.split()[-1] == sxl.__version__


def test_a_name_that_the_encoding_of_the_output_lacks_is_escaped(tmp_path: Path):
    with uproot.recreate(tmp_path / "a.root") as file:
        file.mktree("events", {"Δφ": "float64"})
    # the encoding of a pipe on Windows
    run = CliRunner(charset="cp1252").invoke(main, ["form", str(tmp_path / "a.root")])
    assert run.exit_code == 0
    assert "\\u0394\\u03c6" in run.output
