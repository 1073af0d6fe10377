"""Changes of result files that others may read: Windows refuses to change an open file."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

import tenacity

P = ParamSpec("P")
T = TypeVar("T")

# ERROR_ACCESS_DENIED, ERROR_SHARING_VIOLATION and ERROR_USER_MAPPED_FILE
_ERRORS_OF_OPEN_FILES = frozenset({5, 32, 1224})


def discard(path: Path) -> None:
    """Remove a file if it exists.

    On Windows a file that is open stays, until `remove_directory` removes it.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        if not _is_of_open_file(error):
            raise


def replace(source: Path, target: Path, *, timeout: float = 10.0) -> None:
    """Move a file to the place of another.

    On Windows, wait until nobody has the other one open, for at most `timeout` seconds.
    """
    _retry_while_open(timeout, source.replace, target)


def remove_directory(path: Path, *, timeout: float = 10.0) -> None:
    """Remove a directory and its files.

    On Windows, wait until nobody has one of them open, for at most `timeout` seconds.
    """
    _retry_while_open(timeout, shutil.rmtree, path)


def _retry_while_open(
    timeout: float, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    retry = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_is_of_open_file),
        wait=tenacity.wait_fixed(0.05),
        stop=tenacity.stop_after_delay(timeout),
        reraise=True,
    )
    return retry(function, *args, **kwargs)


def _is_of_open_file(error: BaseException) -> bool:
    # errors have this attribute on Windows only
    return getattr(error, "winerror", None) in _ERRORS_OF_OPEN_FILES
