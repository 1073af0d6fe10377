"""Columns of every type that files of each format hold, for property-based tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import awkward as ak
import hypothesis.strategies as st
import numpy as np

NUMBERS = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
NUMBERS += ["float32", "float64", "bool"]
BRANCH_NAMES = ["x", "x.y", "x/y", "Jet.pt", "a b", "a:b", "a*", "[0]", "µ", "if", "1", "x.y/z.w"]


def numbers(dtype: str, size: int) -> st.SearchStrategy[Any]:
    seeds = st.integers(0, 2**32 - 1)
    return seeds.map(lambda seed: np.frombuffer(np.random.default_rng(seed).bytes(8 * size))).map(
        lambda values: (
            (values.view("u1")[:size] % 2).astype(bool)
            if dtype == "bool"
            else values.view(dtype)[:size]
        )
    )


def counts(length: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(0, 3), min_size=length, max_size=length)


@st.composite
def jagged(draw: st.DrawFn, content: Callable[[int], Any], length: int) -> ak.Array:
    number = draw(counts(length))
    return ak.unflatten(draw(content(sum(number))), np.array(number, dtype=np.int64))


def strings(length: int) -> st.SearchStrategy[ak.Array]:
    text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5)
    lists = st.lists(text, min_size=length, max_size=length)
    return lists.map(lambda values: ak.Array([*values, ""])[:-1])


@st.composite
def records(draw: st.DrawFn, content: Callable[[int], Any], length: int) -> ak.Array:
    names = draw(st.lists(st.sampled_from(["pt", "x", "y"]), min_size=1, unique=True))
    return ak.Array({name: draw(content(length)) for name in names})


@st.composite
def optional(draw: st.DrawFn, content: Callable[[int], Any], length: int) -> ak.Array:
    mask = draw(st.lists(st.booleans(), min_size=length, max_size=length))
    return ak.mask(ak.Array(draw(content(length))), np.array(mask, dtype=bool))


def flat(length: int) -> st.SearchStrategy[Any]:
    return st.sampled_from(NUMBERS).flatmap(lambda dtype: numbers(dtype, length))


def fixed(length: int) -> st.SearchStrategy[Any]:
    shapes = st.sampled_from([(2,), (1,), (3, 2)])
    return shapes.flatmap(
        lambda shape: st.sampled_from(NUMBERS).flatmap(
            lambda dtype: numbers(dtype, length * int(np.prod(shape))).map(
                lambda values: values.reshape(length, *shape)
            )
        )
    )


def in_ttree(length: int) -> st.SearchStrategy[Any]:
    return flat(length) | fixed(length) | jagged(flat, length) | strings(length)


def anything(length: int, depth: int = 2, *, null: bool = False) -> st.SearchStrategy[Any]:
    """Draw what RNTuple and Parquet hold: all of the above, within each other."""
    leaf = flat(length) | strings(length)
    if depth == 0:
        return leaf

    def inner(inner_length: int) -> st.SearchStrategy[Any]:
        return anything(inner_length, depth - 1, null=null)

    nested = jagged(inner, length) | records(inner, length)
    return leaf | nested | optional(inner, length) if null else leaf | nested
