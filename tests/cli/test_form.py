from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner, Result

from servicex_layer.cli import main
from servicex_layer.forms import as_form


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["form", *arguments])


def test_it_prints_a_form_to_pass(inputs: list[Path]):
    printed = run(str(inputs[0]), "--tree", "events").output
    assert set(as_form(printed).fields) >= {"x", "n", "v"}


def test_errors_are_printed_without_a_traceback(inputs: list[Path], tmp_path: Path):
    missing, other_tree = run(str(tmp_path / "missing.root")), run(str(inputs[0]), "--tree", "t")
    assert missing.exit_code == other_tree.exit_code == 1
    assert missing.output.startswith("Error: The sample ")
    assert "no tree 't'" in other_tree.output
