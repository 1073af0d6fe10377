"""The demo: the main job from start to end, on this machine.

Needs the extras ``local`` and ``plot``; `check_extras` says so where they are missing.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from servicex_layer.errors import MissingExtraError

__all__ = ["check_extras", "run_on_files", "run_on_muons"]

_EXTRAS = {
    "local": ("jwt", "starlette", "uvicorn"),
    "plot": ("dask_histogram", "hist", "matplotlib", "vector"),
}

# Matplotlib's remarks, such as that it builds its font cache, do not belong in the demo's output.
logging.getLogger("matplotlib").setLevel(logging.ERROR)


def check_extras() -> None:
    """Check that what the demo needs is installed.

    Raises
    ------
    MissingExtraError
        Where it is not, with what to install.
    """
    missing = [
        module for modules in _EXTRAS.values() for module in modules if find_spec(module) is None
    ]
    if missing:
        raise MissingExtraError(
            f"The demo needs {', '.join(missing)}, which cannot be imported. Install the extras: "
            'pip install "servicex_layer[local,plot]"'
        )


def run_on_muons(output: Path) -> None:
    """Fill the dimuon mass of made-up events while ServiceX transforms them."""
    check_extras()
    from servicex_layer.demo import _run

    _run.run_on_muons(output)


def run_on_files(output: Path, files: Sequence[str], tree: str, column: str) -> None:
    """Fill a histogram of one column of these files while ServiceX transforms them."""
    check_extras()
    from servicex_layer.demo import _run

    _run.run_on_files(output, files, tree, column)
