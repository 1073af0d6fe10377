"""Ranges of bytes of one file: which to fetch, joined if they are close."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from itertools import pairwise

__all__ = ["Piece", "Range", "coalesce", "drop_contained", "find"]

# The most that gaps may add to the ranges, as a fraction of these.
_GAP_FRACTION = 0.1

Range = tuple[int, int]
"""The first byte, and the byte after the last."""

Piece = tuple[int, bytes]
"""The first byte's place in the file, and the bytes."""


def find(pieces: Sequence[Piece], byte_range: Range) -> memoryview | None:
    """Return a range out of the piece that holds all of it; ``None`` if none does.

    Parameters
    ----------
    pieces : sequence of (int, bytes)
        In the order of `drop_contained`.
    byte_range : (int, int)
        The range.

    Examples
    --------
    >>> bytes(find([(0, b"abc"), (10, b"klmn")], (11, 13)))
    b'lm'
    """
    start, stop = byte_range
    index = bisect.bisect_right(pieces, start, key=lambda piece: piece[0]) - 1
    if index < 0:
        return None
    begin, body = pieces[index]
    if stop > begin + len(body):
        return None
    return memoryview(body)[start - begin : stop - begin]


def drop_contained(pieces: Iterable[Piece]) -> list[Piece]:
    """Sort pieces, and drop those that another piece contains.

    Examples
    --------
    >>> drop_contained([(4, b"ef"), (1, b"bc"), (0, b"abcde")])
    [(0, b'abcde'), (4, b'ef')]
    """
    kept: list[Piece] = []
    end = -1
    for start, body in sorted(pieces, key=lambda piece: (piece[0], -len(piece[1]))):
        if start + len(body) > end:
            end = start + len(body)
            kept.append((start, body))
    return kept


def coalesce(ranges: Iterable[Range]) -> list[Range]:
    """Join ranges that touch, then bridge the smallest gaps while they cost little.

    Examples
    --------
    >>> coalesce([(0, 50), (101, 150), (50, 100), (1000, 1100)])
    [(0, 150), (1000, 1100)]
    """
    joined: list[Range] = []
    for start, stop in sorted(ranges):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], stop))
        else:
            joined.append((start, stop))
    budget = _GAP_FRACTION * sum(stop - start for start, stop in joined)
    bridged = set()
    gaps = ((after[0] - before[1], i) for i, (before, after) in enumerate(pairwise(joined), 1))
    for gap, index in sorted(gaps):
        budget -= gap
        if budget < 0:
            break
        bridged.add(index)
    coalesced: list[Range] = []
    for index, (start, stop) in enumerate(joined):
        if index in bridged:
            coalesced[-1] = (coalesced[-1][0], stop)
        else:
            coalesced.append((start, stop))
    return coalesced
