from __future__ import annotations

import pytest
from click.testing import CliRunner

from servicex_layer.cli import main


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--input", "a.root", "--tree", "t"], "--input needs --tree and --column"),
        (["--input", "a.root", "--column", "x"], "--input needs --tree and --column"),
        (["--tree", "t"], "--tree and --column need --input"),
        (["--output", "no/such/directory/demo.png"], "is not writable"),
    ],
)
def test_options_that_do_not_go_together_are_usage_errors(arguments: list[str], message: str):
    run = CliRunner().invoke(main, ["demo", *arguments])
    assert run.exit_code == 2
    assert message in run.output
