"""Rows of text, aligned in columns."""

from __future__ import annotations

from collections.abc import Collection, Sequence

__all__ = ["text_table"]


def text_table(rows: Sequence[Sequence[str]], numbers: Collection[int] = ()) -> str:
    """Return rows with their cells aligned in columns, two spaces apart.

    Parameters
    ----------
    rows : sequence of sequences of str
        The cells, the same number in each row.
    numbers : collection of int, optional
        The places of the columns to align to the right, counted from 0.

    Examples
    --------
    >>> print(text_table([("name", "files"), ("ttbar", "12")], numbers={1}))
    name   files
    ttbar     12
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if place in numbers else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
