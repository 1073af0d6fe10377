"""The check that the demo's optional dependencies are installed."""

from __future__ import annotations

from importlib.util import find_spec

from servicex_layer.errors import MissingExtraError

__all__ = ["require_extras"]

_EXTRAS = {
    "dask-awkward": ("dask_awkward", "dask_histogram"),
    "local": ("jwt", "starlette", "uvicorn"),
    "plot": ("hist", "matplotlib", "vector"),
    "progress": ("rich",),
}


def require_extras() -> None:
    """Check that the optional dependencies of the demo are installed.

    Raises
    ------
    MissingExtraError
        If one is missing. The message names it and the command that installs it.
    """
    missing = [
        module for modules in _EXTRAS.values() for module in modules if find_spec(module) is None
    ]
    if missing:
        raise MissingExtraError(
            f"The demo needs {', '.join(missing)}, which cannot be imported. Install the extras: "
            f'pip install "servicex_layer[{",".join(_EXTRAS)}]"'
        )
