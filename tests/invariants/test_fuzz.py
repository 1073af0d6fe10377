"""Answers changed at random end in the right result or in an error of this package."""

from __future__ import annotations

import pytest
from fuzzing import run  # type: ignore[import-not-found]

pytestmark = pytest.mark.dask_awkward


def test_answers_changed_at_random_never_give_a_wrong_result():
    outcomes, longest = run(250)
    assert outcomes["the right result"] > 10
    assert len(outcomes) > 3, "errors of several kinds"
    assert longest < 20
