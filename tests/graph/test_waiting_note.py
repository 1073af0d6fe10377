from __future__ import annotations

import io
import sys
from concurrent.futures import CancelledError, Future
from typing import Any

import pytest

from servicex_layer.graph._waiting_note import result_with_note


class Stream(io.StringIO):
    """A standard error that is, or isn't, a terminal."""

    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


@pytest.mark.parametrize("is_terminal", [False, True])
def test_a_long_wait_is_announced_and_a_terminal_shows_updates(
    monkeypatch: pytest.MonkeyPatch, in_thread: Any, until: Any, is_terminal: bool
):
    stderr = Stream(is_terminal=is_terminal)
    monkeypatch.setattr(sys, "stderr", stderr)
    pending: Future[str] = Future()
    calls = []

    def message(seconds: float) -> str:
        calls.append(seconds)
        return f"call {len(calls)}"

    result = in_thread(lambda: result_with_note(pending, message, quiet=0.001))
    until(lambda: len(calls) >= 3)
    pending.set_result("done")
    assert result() == "done"
    written = stderr.getvalue()
    assert calls == sorted(calls)
    if is_terminal:
        assert "\r\x1b[Kcall 1\r\x1b[Kcall 2\r\x1b[Kcall 3" in written
        assert written.endswith("\r\x1b[K")
    else:
        assert written == "call 1\n"


def test_a_short_wait_is_silent(capsys: pytest.CaptureFixture[str]):
    pending: Future[int] = Future()
    pending.set_result(5)
    assert result_with_note(pending, "waiting {}".format) == 5
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("error", [LookupError("lost"), TimeoutError("of the result")])
def test_the_error_of_the_result_is_raised(error: Exception):
    pending: Future[int] = Future()
    pending.set_exception(error)
    with pytest.raises(type(error), match=str(error)):
        result_with_note(pending, "waiting {}".format)


def test_an_interrupted_wait_cancels_the_result():
    pending: Future[int] = Future()

    def interrupt(seconds: float) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        result_with_note(pending, interrupt, quiet=0.001)
    with pytest.raises(CancelledError):
        pending.result()
