"""What a notebook's view of a graph shows of our layers."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Mapping

__all__ = ["as_html"]

# A tree may have thousands of columns.
_LONGEST_VALUE = 400


def as_html(rows: Mapping[str, str]) -> dict[str, str]:
    """Shorten and escape the values."""
    return {
        name: html.escape(textwrap.shorten(value, _LONGEST_VALUE, placeholder=" …"))
        for name, value in rows.items()
    }
