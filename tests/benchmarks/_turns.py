"""Timing several functions in turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any


def time_in_turns(
    functions: Mapping[str, Callable[[], Any]], rounds: int
) -> tuple[dict[str, list[float]], list[Any]]:
    """Call each function once per round, so that a busy machine slows all of them alike.

    Parameters
    ----------
    functions : Mapping[str, Callable[[], Any]]
        What to time, by name.
    rounds : int
        Timed rounds. One more runs first: it imports and connects.

    Returns
    -------
    times : dict[str, list[float]]
        Seconds of each timed round, by name.
    results : list[Any]
        What all calls returned, the first round included.
    """
    times: dict[str, list[float]] = {name: [] for name in functions}
    results = []
    for _ in range(rounds + 1):
        for name, function in functions.items():
            start = time.perf_counter()
            results.append(function())
            times[name].append(time.perf_counter() - start)
    return {name: seconds[1:] for name, seconds in times.items()}, results
