"""Whatever a server says: the right result or an error of `servicex_layer.errors`."""

from __future__ import annotations

from fuzzing import run  # type: ignore[import-not-found]


def test_answers_changed_at_random():
    outcomes, longest = run(250)
    assert outcomes["the right result"] > 10
    assert len(outcomes) > 4, "errors of several kinds"
    assert longest < 20
