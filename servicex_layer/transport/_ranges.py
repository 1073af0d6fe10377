"""Ranges of bytes of one file: which to fetch, and finding them in what was fetched."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from itertools import pairwise

__all__ = ["Piece", "Range", "cut", "merge", "tidy"]

# Ranges are merged while what lies between them adds no more than this fraction.
_WASTE = 0.1

Range = tuple[int, int]
Piece = tuple[int, bytes]


def cut(pieces: Sequence[Piece], wanted: Range) -> memoryview | None:
    """Find a range in pieces that are tidy; ``None`` where none holds all of it.

    Examples
    --------
    >>> bytes(cut([(0, b"abc"), (10, b"klmn")], (11, 13)))
    b'lm'
    """
    start, stop = wanted
    at = bisect.bisect_right(pieces, start, key=lambda piece: piece[0]) - 1
    if at < 0:
        return None
    begin, body = pieces[at]
    if stop > begin + len(body):
        return None
    return memoryview(body)[start - begin : stop - begin]


def tidy(pieces: Iterable[Piece]) -> list[Piece]:
    """Put pieces in order, without those that others hold.

    Examples
    --------
    >>> tidy([(4, b"ef"), (1, b"bc"), (0, b"abcde")])
    [(0, b'abcde'), (4, b'ef')]
    """
    kept: list[Piece] = []
    end = -1
    for start, body in sorted(pieces, key=lambda piece: (piece[0], -len(piece[1]))):
        if start + len(body) > end:
            end = start + len(body)
            kept.append((start, body))
    return kept


def merge(ranges: Iterable[Range]) -> list[Range]:
    """Join ranges that touch, then those with the smallest gaps while these cost little.

    Examples
    --------
    >>> merge([(0, 50), (101, 150), (50, 100), (1000, 1100)])
    [(0, 150), (1000, 1100)]
    """
    joined: list[Range] = []
    for start, stop in sorted(ranges):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], stop))
        else:
            joined.append((start, stop))
    budget = _WASTE * sum(stop - start for start, stop in joined)
    bridged = set()
    for gap, place in sorted((b[0] - a[1], i) for i, (a, b) in enumerate(pairwise(joined), 1)):
        budget -= gap
        if budget < 0:
            break
        bridged.add(place)
    merged: list[Range] = []
    for place, (start, stop) in enumerate(joined):
        if place in bridged:
            merged[-1] = (merged[-1][0], stop)
        else:
            merged.append((start, stop))
    return merged
