from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from click.testing import CliRunner, Result

from servicex_layer.cli import main


@pytest.fixture
def jets(tmp_path: Path) -> list[str]:
    """Write two files with a jagged column, a flat column, and an empty tree beside theirs."""
    paths = []
    for number in range(2):
        # A name with a colon, where there can be one.
        path = tmp_path / f"jets{'-' if sys.platform == 'win32' else ':'}{number}.root"
        with uproot.recreate(path) as file:
            tree = file.mktree("treeme", {"JetPt": "var * float64", "met": "float64"})
            tree.extend(
                {"JetPt": ak.Array([[30.0 + number, 120.0], [], [50.0]]), "met": np.ones(3)}
            )
            file.mktree("other", {"x": "float64"})
        paths.append(str(path))
    return paths


@pytest.fixture
def demo() -> Callable[..., Result]:
    """Run the command in this process."""

    def demo(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["demo", *arguments])

    return demo
