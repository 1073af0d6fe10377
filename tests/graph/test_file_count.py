from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import dask
import pytest

from servicex_layer._model import Backend
from servicex_layer.errors import WaitTimeoutError
from servicex_layer.graph._file_count import status_with_file_count

Serve = Callable[[Callable[[str, str], Any]], str]


def answer(status: str) -> Any:
    body = {
        "request_id": "5f1c",
        "status": status,
        "files": 3,
        "files-completed": 0,
        "files-failed": 0,
    }
    return 200, json.dumps(body).encode(), {"Content-Type": "application/json"}


@pytest.fixture(autouse=True)
def fast_polls(use_service: Any) -> None:
    """Poll as often as with the embedded server."""


@pytest.mark.parametrize("first", [None, "Lookup"])
def test_a_long_wait_for_the_file_count_is_announced(
    serve: Serve,
    in_thread: Any,
    until: Any,
    capsys: pytest.CaptureFixture[str],
    first: str | None,
):
    announced = threading.Event()

    def reply(method: str, path: str) -> Any:
        if first is None:
            assert announced.wait(30)
        return answer("Running" if announced.is_set() or first is None else first)

    backend = Backend("af", serve(reply))
    result = in_thread(lambda: status_with_file_count(backend, "5f1c", quiet=0.05))
    written = [""]

    def stderr() -> str:
        written[0] += capsys.readouterr().err
        return written[0]

    until(lambda: "Request 5f1c" in stderr())
    announced.set()
    assert result().files == 3
    if first is None:
        assert f"the backend af at {backend.url} has not answered" in stderr()
    else:
        assert "waiting for the lookup of its dataset" in stderr()


def test_a_quick_answer_is_silent(serve: Serve, capsys: pytest.CaptureFixture[str]):
    backend = Backend("af", serve(lambda *_: answer("Running")))
    assert status_with_file_count(backend, "5f1c", quiet=30).files == 3
    assert capsys.readouterr().err == ""


def test_a_lookup_that_takes_longer_than_the_timeout_is_an_error(serve: Serve):
    backend = Backend("af", serve(lambda *_: answer("Lookup")))
    with (
        dask.config.set({"servicex-layer.timeout": "200ms"}),
        pytest.raises(WaitTimeoutError, match=r"lookup of its dataset.*servicex-layer\.timeout"),
    ):
        status_with_file_count(backend, "5f1c")
