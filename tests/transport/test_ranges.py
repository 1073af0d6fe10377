from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from servicex_layer.transport._ranges import coalesce, drop_contained, find

SIZE = 50
BODY = bytes(range(SIZE))
RANGES = st.tuples(st.integers(0, SIZE), st.integers(0, SIZE)).map(sorted).map(tuple)


def pieces_of(ranges: list[tuple[int, int]]) -> list[tuple[int, bytes]]:
    return [(start, BODY[start:stop]) for start, stop in ranges]


@given(st.lists(RANGES), RANGES)
def test_a_range_is_found_if_one_piece_holds_it(
    ranges: list[tuple[int, int]], byte_range: tuple[int, int]
):
    start, stop = byte_range
    body = find(drop_contained(pieces_of(ranges)), byte_range)
    holders = [piece for piece in ranges if piece[0] <= start and stop <= piece[1]]
    if start < stop:
        assert (body is not None) == bool(holders)
    if body is not None:
        assert body == BODY[start:stop]


@given(st.lists(RANGES))
def test_dropped_pieces_are_contained_in_kept_ones(ranges: list[tuple[int, int]]):
    kept = drop_contained(pieces_of(ranges))
    assert kept == sorted(kept)
    for start, stop in ranges:
        assert (
            any(begin <= start and stop <= begin + len(body) for begin, body in kept)
            or start == stop
        )
    ends = [start + len(body) for start, body in kept]
    assert ends == sorted(set(ends))


@given(st.lists(RANGES))
def test_coalesced_ranges_cover_all_with_little_between(ranges: list[tuple[int, int]]):
    coalesced = coalesce(ranges)
    assert coalesced == sorted(coalesced)
    covered = {byte for start, stop in coalesced for byte in range(start, stop)}
    asked = {byte for start, stop in ranges for byte in range(start, stop)}
    assert asked <= covered
    assert len(covered) <= 1.1 * len(asked) + 1e-9


def test_smallest_gaps_are_bridged_first():
    assert coalesce([(0, 100), (109, 200), (203, 300)]) == [(0, 300)]
    assert coalesce([(0, 100), (150, 200), (203, 300)]) == [(0, 100), (150, 300)]
