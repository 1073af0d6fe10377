from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import pytest

from servicex_layer import from_servicex
from servicex_layer.errors import WaitTimeoutError
from servicex_layer.graph import _first_file as first_file
from servicex_layer.local import LocalServiceX


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_file, "_QUIET", 0.02)


@pytest.mark.parametrize("terminal", [False, True])
def test_waiting_is_told_of(
    service: LocalServiceX,
    submit: Callable[..., str],
    inputs: list[Path],
    in_thread: Any,
    until: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    terminal: bool,
):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    request_id = submit(inputs)
    made = in_thread(lambda: from_servicex(request_id, tree="events"))
    told = [""]

    def lines() -> str:
        told[0] += capsys.readouterr().err
        return told[0]

    times = 3 if terminal else 1
    until(lambda: lines().count(f"Request {request_id}: waiting for its first file") >= times)
    service.release(request_id, 1)
    assert made().fields == ["x", "n", "nv", "v"]
    assert "0 of 4 files finished" in lines()
    if terminal:
        assert lines().endswith("\r\x1b[K")
    else:
        assert lines().count("\n") == 1


def test_nothing_is_told_of_what_is_there(
    finished: Callable[..., str],
    inputs: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setattr(first_file, "_QUIET", 30.0)
    from_servicex(finished(inputs))
    assert capsys.readouterr().err == ""


def test_waiting_has_a_bound(submit: Callable[..., str], inputs: list[Path]):
    request_id = submit(inputs)
    with (
        dask.config.set({"servicex-layer.timeout": "200ms"}),
        pytest.raises(WaitTimeoutError, match="timeout"),
    ):
        from_servicex(request_id)
