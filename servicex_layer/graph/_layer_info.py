"""What a notebook's view of a graph shows of our layers."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from servicex_layer.graph._file_layer import SXFileLayer

__all__ = ["as_html", "request_info"]

# A tree may have thousands of columns.
_LONGEST_VALUE = 400


def request_info(files: SXFileLayer) -> dict[str, str]:
    """Return the rows about the request of a layer, as HTML."""
    return as_html(
        {
            "request": files.request_id,
            "backend": files.backend or "the default",
            "partitions": str(files.npartitions),
        }
    )


def as_html(rows: Mapping[str, str]) -> dict[str, str]:
    """Shorten and escape the values."""
    return {
        name: html.escape(textwrap.shorten(value, _LONGEST_VALUE, placeholder=" …"))
        for name, value in rows.items()
    }
