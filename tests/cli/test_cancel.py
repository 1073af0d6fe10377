from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import servicex_layer as sxl
from servicex_layer.cli import main
from servicex_layer.local import LocalServiceX


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["cancel", *arguments])


def test_cancel_shows_the_status_afterwards(submit: Callable[..., str], inputs: list[Path]):
    request_id = submit(inputs)
    first, again = run(request_id), run(request_id, "--backend", "local")
    assert first.exit_code == again.exit_code == 0
    assert first.output == again.output == f"{sxl.status(request_id)!r}\n"
    assert "Status   Canceled\n" in first.output
    assert json.loads(run(request_id, "--json").output)["status"] == "Canceled"


@pytest.mark.parametrize("command", ["cancel", "logs"])
def test_an_unknown_request_is_printed_without_a_traceback(service: LocalServiceX, command: str):
    unknown = "7a0e5e0c-0000-0000-0000-000000000000"
    result = CliRunner().invoke(main, [command, unknown])
    assert result.exit_code == 1
    assert result.output.startswith("Error: The ServiceX backend local at ")
    assert unknown in result.output
