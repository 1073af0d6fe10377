from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import pytest

from servicex_layer import from_servicex
from servicex_layer.errors import FormError, WaitTimeoutError
from servicex_layer.local import LocalServiceX


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


@pytest.mark.filterwarnings("ignore::servicex_layer.errors.FailedFilesWarning")
def test_without_a_finished_file_there_is_no_form(finished: Callable[..., str], inputs: list[Path]):
    with pytest.raises(FormError, match="no finished file"):
        from_servicex(finished(inputs, "no-such-tree"))
