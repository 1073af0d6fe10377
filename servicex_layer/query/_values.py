"""What kind of values an array holds: one number per event, or lists of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from awkward.forms import Form

__all__ = ["Values", "values_of"]

# Parameters with which awkward gives an array another meaning, or another class.
_CUSTOM = ("__array__", "__list__", "__record__")


@dataclass(frozen=True)
class Values:
    """The kind of the values of an array.

    Parameters
    ----------
    dtype : numpy.dtype
        The type of the numbers.
    depth : int
        1 for one number per event, 2 for a list per event.
    optional : bool
        Whether a value, or a list, may be ``None``.
    """

    dtype: np.dtype[Any]
    depth: int
    optional: bool

    @property
    def is_boolean(self) -> bool:
        """Whether the values are truth values."""
        return self.dtype.kind == "b"

    @property
    def is_integer(self) -> bool:
        """Whether arithmetic with the values never rounds."""
        return self.dtype.kind in "biu"


def values_of(form: Form) -> Values | None:
    """Return the kind of values; ``None`` for anything but numbers in plain lists."""
    depth, optional = 1, False
    while True:
        if any(form.parameter(name) is not None for name in _CUSTOM):
            return None
        if form.is_list:
            depth += 1
        elif form.is_option:
            optional = True
        elif not form.is_indexed:
            break
        form = form.content
    if not form.is_numpy or form.inner_shape:
        return None
    dtype = np.dtype(form.primitive)
    return Values(dtype, depth, optional) if dtype.kind in "biuf" else None
