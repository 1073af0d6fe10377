"""The demo: the main job from start to end, on this machine.

Needs the extras ``local`` and ``plot``; `check_extras` says so where they are missing.
"""

from __future__ import annotations

import logging
from importlib.util import find_spec

from servicex_layer.errors import MissingExtraError

__all__ = ["check_extras"]

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
