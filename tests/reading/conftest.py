"""ROOT files with one tree, and with two."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from reading.results import COLUMNS  # type: ignore[import-not-found]


@pytest.fixture
def one_tree(tmp_path: Path, write_file: Callable[..., Path]) -> Path:
    return write_file(tmp_path / "one.root", events=COLUMNS)


@pytest.fixture
def two_trees(tmp_path: Path, write_file: Callable[..., Path]) -> Path:
    return write_file(tmp_path / "two.root", events=COLUMNS, other={"y": np.arange(2.0)})
