from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import pytest
import uproot

from servicex_layer import from_servicex
from servicex_layer.errors import FormError, WaitTimeoutError
from servicex_layer.local import LocalServiceX

pytestmark = pytest.mark.dask_awkward


def test_the_form_is_that_of_the_first_finished_file(
    service: LocalServiceX,
    submit: Callable[..., str],
    inputs: list[Path],
    in_thread: Any,
    until: Any,
    capsys: pytest.CaptureFixture[str],
):
    request_id = submit(inputs)
    result = in_thread(lambda: from_servicex(request_id, tree="events"))
    written = [""]

    def stderr() -> str:
        written[0] += capsys.readouterr().err
        return written[0]

    until(lambda: f"Request {request_id}: waiting for its first file" in stderr())
    service.release(request_id, 1)
    events = result()
    assert events.fields == ["x", "n", "nv", "v"]
    assert events.x.partitions[0].compute().to_list()[0] == 100
    assert "0 of 4 files finished" in stderr()
    assert "form=…" in stderr()


def test_the_wait_ends_with_the_timeout(submit: Callable[..., str], inputs: list[Path]):
    request_id = submit(inputs)
    with (
        dask.config.set({"servicex-layer.timeout": "200ms"}),
        pytest.raises(WaitTimeoutError, match="timeout"),
    ):
        from_servicex(request_id)


def test_a_request_without_files_has_no_columns(finished: Callable[..., str]):
    assert from_servicex(finished([])).fields == []


def remove_trees(path: Path) -> None:
    """Replace a ROOT file by one of the same size without a tree."""
    size = path.stat().st_size
    with uproot.recreate(path):
        pass
    path.write_bytes(path.read_bytes().ljust(size, b"\0"))


def test_a_file_without_a_tree_leaves_the_form_to_the_next(
    finished: Callable[..., str], inputs: list[Path], stored: Callable[[str, int], Path]
):
    request_id = finished(inputs)
    remove_trees(stored(request_id, 0))
    remove_trees(stored(request_id, 1))
    assert from_servicex(request_id).fields == ["x", "n", "nv", "v"]


def test_without_a_tree_in_any_file_there_is_no_form(
    finished: Callable[..., str], inputs: list[Path], stored: Callable[[str, int], Path]
):
    request_id = finished(inputs[:2])
    remove_trees(stored(request_id, 0))
    remove_trees(stored(request_id, 1))
    with pytest.raises(FormError, match="no finished file with a tree"):
        from_servicex(request_id)
