"""Ctrl-C for this process, from any of its threads."""

from __future__ import annotations

import os
import signal
import sys

__all__ = ["press_ctrl_c"]


def press_ctrl_c() -> None:
    """Send the process what Ctrl-C sends; `os.kill` would end a process on Windows."""
    if sys.platform == "win32":
        signal.raise_signal(signal.SIGINT)
    else:
        os.kill(os.getpid(), signal.SIGINT)
