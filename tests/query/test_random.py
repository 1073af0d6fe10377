"""Random masks and analyses: a derived query never changes a result."""

from __future__ import annotations

import random

import random_analyses  # type: ignore[import-not-found]
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

few = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


@few
@given(st.integers(0, 2**32))
def test_a_cut_keeps_every_event_of_a_random_mask(seed: int):
    rng = random.Random(seed)
    events = random_analyses.events(rng)
    outcome = random_analyses.try_mask(random_analyses.mask_source(rng), events)
    assume(outcome is not None)
    assert not outcome.problem


@few
@given(st.integers(0, 2**32))
def test_a_random_analysis_returns_the_same_from_the_selected_events(seed: int):
    rng = random.Random(seed)
    events = random_analyses.events(rng)
    outcome = random_analyses.try_analysis(random_analyses.analysis_source(rng), events)
    assume(outcome is not None)
    assert not outcome.problem
