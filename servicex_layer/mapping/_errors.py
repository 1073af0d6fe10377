"""Errors of the user's functions: where they were raised, and a cause that can be sent."""

from __future__ import annotations

import traceback
from typing import Any

import cloudpickle

__all__ = ["describe", "place_of", "sendable"]


def describe(function: Any) -> str:
    """Return the name of a function, or of the class of a callable object.

    Examples
    --------
    >>> describe(len)
    'len'
    """
    name: str = getattr(function, "__qualname__", type(function).__qualname__)
    return name


def place_of(error: BaseException) -> str:
    """Return the file, line and function that raised an error."""
    *_, last = traceback.extract_tb(error.__traceback__)
    return f"{last.filename}, line {last.lineno}, in {last.name}"


def sendable(error: Exception) -> Exception:
    """Return an error that survives pickling: itself, or one with its type and text.

    An exception whose constructor takes other arguments than those in `args` can be pickled but not
    unpickled, which would hide the error whose cause it is.
    """
    try:
        cloudpickle.loads(cloudpickle.dumps(error))
    except Exception:  # noqa: BLE001  (whatever the user's class raises)
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
