from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from typing import Any

import pyte
import pytest

import servicex_layer as sxl


class Terminal(io.TextIOBase):
    """A terminal of 80 columns whose screen can be read."""

    def __init__(self, *, tty: bool = True) -> None:
        self._tty = tty
        self._screen = pyte.Screen(80, 40)
        self._stream = pyte.Stream(self._screen)

    def isatty(self) -> bool:
        return self._tty

    def write(self, text: str) -> int:
        self._stream.feed(text.replace("\n", "\r\n"))
        return len(text)

    @property
    def screen(self) -> list[str]:
        return [line.rstrip() for line in self._screen.display if line.strip()]

    @contextmanager
    def progress(self, *arrays_or_requests: Any) -> Iterator[None]:
        """Show progress here."""
        with redirect_stderr(self), sxl.progress(*arrays_or_requests):
            yield

    def shows(self, pattern: str) -> Callable[[], object]:
        """Return a condition: the screen matches, whatever the line breaks."""
        return lambda: re.search(pattern, " ".join(" ".join(self.screen).split()))


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("CI", raising=False)
    return Terminal()


@pytest.fixture
def pipe(terminal: Terminal) -> Terminal:
    """Give a standard error that is not a terminal."""
    return Terminal(tty=False)
