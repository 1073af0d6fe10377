"""The order that a session knows of each request."""

from __future__ import annotations

import pytest

from servicex_layer.errors import CompletionOrderError
from servicex_layer.feed._order import (
    DIGEST_SIZE,
    SessionOrders,
    contradicts,
    digest,
    digests_of,
    summary,
)

REQUEST = "http://a-backend", "a-request"


def order_of(*names: str) -> bytes:
    return b"".join(map(digest, names))


@pytest.fixture
def orders() -> SessionOrders:
    return SessionOrders()


def test_an_order_splits_into_the_digests_of_its_names():
    order = order_of("a", "b", "c")
    assert digests_of(order) == [digest("a"), digest("b"), digest("c")]
    assert digests_of(order, 2) == [digest("c")]
    assert len(order) == 3 * DIGEST_SIZE


@pytest.mark.parametrize(
    ("first", "second", "do_contradict"),
    [
        ("ab", "ab", False),
        ("ab", "abc", False),
        ("abc", "ab", False),
        ("", "ab", False),
        ("ab", "ba", True),
        ("ab", "acd", True),
    ],
)
def test_two_orders_contradict_unless_one_is_the_beginning_of_the_other(
    first: str, second: str, do_contradict: bool
):
    assert contradicts(order_of(*first), order_of(*second)) is do_contradict


def test_a_request_without_numbered_files_has_an_empty_order(orders: SessionOrders):
    assert orders.get(*REQUEST) == b""
    assert orders.summary(*REQUEST) == (0, b"", "")


def test_an_order_grows_with_what_the_computations_learn(orders: SessionOrders):
    orders.extend(*REQUEST, 0, order_of("a"), "this process")
    orders.extend(*REQUEST, 1, order_of("b", "c"), "a cluster")
    assert orders.get(*REQUEST) == order_of("a", "b", "c")
    assert orders.summary(*REQUEST) == (*summary(order_of("a", "b", "c")), "a cluster")


def test_known_digests_change_neither_the_order_nor_its_source(orders: SessionOrders):
    orders.extend(*REQUEST, 0, order_of("a", "b"), "this process")
    orders.extend(*REQUEST, 1, order_of("b"), "a cluster")
    assert orders.summary(*REQUEST) == (*summary(order_of("a", "b")), "this process")


def test_each_backend_and_request_has_an_order_of_its_own(orders: SessionOrders):
    url, request_id = REQUEST
    orders.extend(url, request_id, 0, order_of("a"), "this process")
    orders.extend(url, "another-request", 0, order_of("b"), "this process")
    orders.extend("http://another-backend", request_id, 0, order_of("c"), "this process")
    assert orders.get(*REQUEST) == order_of("a")


@pytest.mark.parametrize(
    ("start", "names"), [(0, "b"), (1, "ac"), (3, "c")], ids=["other", "swapped", "gap"]
)
def test_a_contradiction_is_an_error_from_then_on_and_names_both_computations(
    start: int, names: str, orders: SessionOrders
):
    orders.extend(*REQUEST, 0, order_of("a", "b"), "this process")
    with pytest.raises(CompletionOrderError, match=r"a-request: .* in a cluster than in this proc"):
        orders.extend(*REQUEST, start, order_of(*names), "a cluster")
    with pytest.raises(CompletionOrderError, match="Compute everything in one of them"):
        orders.get(*REQUEST)
    with pytest.raises(CompletionOrderError, match="new session"):
        orders.summary(*REQUEST)
