from __future__ import annotations

from click.testing import CliRunner

import servicex_layer as sxl
from servicex_layer.cli import main


def test_the_program_lists_its_commands():
    listed = CliRunner().invoke(main, ["--help"]).output.rpartition("Commands:")[2]
    names = [line.split()[0] for line in listed.splitlines() if line.strip()]
    assert names == ["demo", "files", "form", "serve", "status"]


def test_the_program_prints_the_version():
    assert CliRunner().invoke(main, ["--version"]).output.split()[-1] == sxl.__version__
