from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from click.testing import Result

pytestmark = pytest.mark.dask_awkward


def test_a_missing_extra_is_an_error_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, demo: Callable[..., Result]
):
    monkeypatch.setitem(sys.modules, "hist", None)
    run = demo()
    assert run.exit_code == 1
    assert run.output.startswith("Error: The demo needs hist, ")
    assert 'pip install "servicex_layer[dask-awkward,local,plot,progress]"' in run.output
