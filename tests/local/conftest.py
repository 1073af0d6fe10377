"""A small input file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory, write_file: Callable[..., Path]) -> Path:
    """Write a file of three events."""
    return write_file(tmp_path_factory.mktemp("source") / "a.root", events={"x": np.arange(3.0)})
