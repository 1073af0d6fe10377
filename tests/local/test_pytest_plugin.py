from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.dask_awkward

CONFTEST = 'pytest_plugins = ["servicex_layer.local.pytest_plugin"]\n'

TESTS = """
import os
import subprocess
import sys

import dask
import numpy as np
import pytest
import servicex_layer as sxl
import uproot

seen = []


@pytest.fixture
def path(tmp_path):
    with uproot.recreate(tmp_path / "a.root") as file:
        file.mktree("events", {"x": "float64"}).extend({"x": np.arange(3.0)})
    return tmp_path / "a.root"


@pytest.mark.parametrize("scheduler", ["sync", "processes"])
def test_selection(local_servicex, path, scheduler):
    seen.append(local_servicex)
    events = sxl.from_servicex(local_servicex.submit([path], tree="events"))
    assert events.x[events.x > 0].compute(scheduler=scheduler).to_list() == [1, 2]
    assert "BEARER_TOKEN_FILE" not in os.environ


def test_each_test_has_its_own():
    first, second = seen
    assert first is not second
    assert dask.config.get("servicex-layer.config-path") is None
    assert not [name for name in os.environ if name.startswith("DASK_SERVICEX_LAYER")]
"""


def test_a_users_tests_have_a_servicex(tmp_path: Path):
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_analysis.py").write_text(TESTS)
    run = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider", "."],
        cwd=tmp_path,
        env={**os.environ, "BEARER_TOKEN_FILE": "of-somebody"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "3 passed" in run.stdout
