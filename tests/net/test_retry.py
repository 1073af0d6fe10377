from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import tenacity
from hypothesis import given
from hypothesis import strategies as st

from servicex_layer.net._retry import TransientError, retry_after, retry_policy

NOW = datetime(2026, 11, 22, 23, 0, tzinfo=UTC)


def tries(budget: float, asked: float | None, most: int = 10**6) -> list[float]:
    """Tell when each try of a call begins that fails so many times."""
    begun: list[float] = []

    def fail() -> None:
        begun.append(time.monotonic())
        if len(begun) <= most:
            raise TransientError("busy", asked)

    try:
        tenacity.Retrying(**retry_policy(budget))(fail)
    except tenacity.RetryError:
        assert len(begun) <= most
    return [one - begun[0] for one in begun]


def test_the_last_try_is_at_the_end_of_the_budget():
    begun = tries(0.3, None)
    assert len(begun) > 1
    assert 0.29 < begun[-1] < 1


def test_pauses_are_jittered():
    assert len({round(tries(60, None, most=1)[1], 4) for _ in range(5)}) == 5


def test_a_server_that_asks_for_time_gets_it_within_the_budget():
    assert tries(60, 0.3, most=1)[1] >= 0.3
    assert len(begun := tries(0.2, 86400)) in (2, 3)
    assert begun[-1] < 1


def test_no_budget_is_one_try():
    assert len(tries(0.0, None)) == 1


def test_at_once():
    assert tries(60, 0.0, most=20)[-1] < 0.2


@given(st.integers(1, 10**6))
def test_retry_after_is_seconds_or_a_date_by_the_servers_clock(seconds):
    assert retry_after({"Retry-After": str(seconds)}) == seconds
    date = {"Date": format_datetime(NOW, usegmt=True)}
    until = format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)
    assert retry_after({"Retry-After": until, **date}) == seconds
    past = format_datetime(NOW - timedelta(seconds=seconds), usegmt=True)
    assert retry_after({"Retry-After": past, **date}) is None


def test_retry_after_without_a_date_of_the_answer():
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    assert 90 < (retry_after({"Retry-After": until}) or 0) <= 100


@pytest.mark.parametrize("text", ["", "0", "-1", "nan", "inf", "soon", "1e9", "Sun, 22 Nov 2026"])
def test_retry_after_that_says_nothing(text):
    assert retry_after({"Retry-After": text}) is None
    assert retry_after({}) is None


@given(st.text())
def test_retry_after_of_any_text(text):
    wanted = retry_after({"Retry-After": text})
    assert wanted is None or wanted > 0
