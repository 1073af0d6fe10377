from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest
import tenacity
from fake_clock import FakeClock  # type: ignore[import-not-found]
from hypothesis import given, settings
from hypothesis import strategies as st

from servicex_layer.net import TransientError, json_or_none, retry_after, retry_policy

NOW = datetime(2026, 11, 22, 23, 0, tzinfo=UTC)


def attempt_times(retry_timeout: float, pause: float | None, failures: int = 10**6) -> list[float]:
    """Return the times, in seconds, of all attempts of a call that fails so many times."""
    clock = FakeClock()
    start = clock.monotonic()
    times: list[float] = []

    def fail() -> None:
        times.append(clock.monotonic() - start)
        if len(times) <= failures:
            raise TransientError("busy", pause)

    policy = retry_policy(retry_timeout, clock.monotonic)
    try:
        tenacity.Retrying(**policy, sleep=clock.advance)(fail)
    except tenacity.RetryError:
        assert len(times) <= failures
    return times


@settings(deadline=None)
@given(st.floats(0.001, 1000))
def test_the_last_attempt_is_made_when_the_timeout_ends(retry_timeout):
    times = attempt_times(retry_timeout, None)
    assert len(times) > 1
    assert times[-1] == pytest.approx(retry_timeout, abs=1e-6)


def test_pauses_grow_and_are_jittered():
    runs = [attempt_times(1000, None) for _ in range(5)]
    assert len({times[1] for times in runs}) == 5
    for times in runs:
        pauses = [after - before for before, after in itertools.pairwise(times)]
        assert max(pauses) <= 5.0
        assert max(pauses[:3]) <= 0.8 < max(pauses)


def test_a_pause_that_the_server_asks_for_is_kept_within_the_timeout():
    assert attempt_times(60, 7.0, failures=1) == [0.0, 7.0]
    assert attempt_times(0.2, 86400) == [0.0, pytest.approx(0.2)]


def test_without_a_timeout_there_is_one_attempt():
    assert attempt_times(0.0, None) == [0.0]


def test_a_pause_of_zero_retries_immediately():
    assert attempt_times(60, 0.0, failures=20) == [0.0] * 21


def test_other_errors_are_not_retried():
    def fail() -> None:
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        tenacity.Retrying(**retry_policy(60))(fail)


@given(st.integers(1, 10**6))
def test_retry_after_is_a_number_of_seconds_or_a_date_by_the_servers_clock(seconds):
    assert retry_after({"Retry-After": str(seconds)}) == seconds
    date = {"Date": format_datetime(NOW, usegmt=True)}
    future = format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)
    assert retry_after({"Retry-After": future, **date}) == seconds
    past = format_datetime(NOW - timedelta(seconds=seconds), usegmt=True)
    assert retry_after({"Retry-After": past, **date}) is None


def test_retry_after_is_by_this_machines_clock_if_the_answer_has_no_date():
    future = format_datetime(datetime.now(UTC) + timedelta(seconds=1000), usegmt=True)
    assert 0 < (retry_after({"Retry-After": future}) or 0) <= 1000


@pytest.mark.parametrize("text", ["", "0", "-1", "nan", "inf", "soon", "1e9", "Sun, 22 Nov 2026"])
def test_an_invalid_retry_after_is_ignored(text):
    assert retry_after({"Retry-After": text}) is None


def test_a_missing_retry_after_is_no_pause():
    assert retry_after({}) is None


@given(st.text())
def test_retry_after_of_any_text_is_positive_or_ignored(text):
    pause = retry_after({"Retry-After": text})
    assert pause is None or pause > 0


def test_json_or_none_parses_json():
    assert json_or_none(httpx.Response(200, content=b'{"a": 1}')) == {"a": 1}


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff", b"[" * 100_000])
def test_json_or_none_of_anything_else_is_none(body):
    assert json_or_none(httpx.Response(200, content=body)) is None
