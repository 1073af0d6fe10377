"""How the server starts its child processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def environment() -> dict[str, str]:
    """Return the environment of a process that can import what this one can."""
    # sys.path can have entries that no environment variable names
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    return {**os.environ, "PYTHONPATH": path}


def without_ctrl_c() -> dict[str, Any]:
    """Return the arguments of `subprocess.Popen` for a process that Ctrl-C doesn't reach."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    else:  # noqa: RET505  (mypy would call it unreachable on Windows)
        return {"start_new_session": True}
