"""What a real ServiceX does now and then, to be had on demand."""

from __future__ import annotations

import random
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from servicex_layer.errors import InvalidArgumentError
from servicex_layer.local._http_faults import HttpFault


@dataclass(frozen=True)
class Fate:
    """What befalls one input file."""

    fails: bool
    never_ends: bool
    late_by: float
    jitter: float


@dataclass(frozen=True)
class Faults:
    """What goes wrong in a `LocalServiceX`, and for which input files.

    The server's seed, the number of the request and the index of the input file decide what
    befalls a file, not the order in which files finish: a run can be repeated.
    Late rows, lagging counters and lagging uploads do not apply to manual requests, which say
    themselves what becomes visible when.

    Parameters
    ----------
    late
        Fraction (0 to 1) of the rows that become visible late: with a ``created_at`` and an ``id``
        that are earlier than those of rows that could be seen before.
    late_by
        Seconds by which such a row is late, at most (0 to 10).
    whole_seconds
        Cut ``created_at`` to whole seconds, which makes ties.
    counter_lag
        Seconds by which ``files-completed`` and ``files-failed`` lag behind the rows.
    upload_lag
        Seconds by which a result appears in the store after it is counted. For servers of 2024,
        which upload in the background.
    failing
        Indices of the input files that end as a ``failure``, or a fraction (0 to 1) of them.
    never
        Indices of the input files that never end. They hold up no other file.
    clock_offset
        Seconds by which the server's clock is ahead of this machine's.
    http
        What goes wrong between a client and the server. Of those of one route, the first that
        befalls a call is the only one that does.

    Raises
    ------
    InvalidArgumentError
        A fraction, a number of seconds or an index is out of its range.
    """

    late: float = 0.0
    late_by: float = 0.0
    whole_seconds: bool = False
    counter_lag: float = 0.0
    upload_lag: float = 0.0
    failing: AbstractSet[int] | float = frozenset()
    never: AbstractSet[int] = frozenset()
    clock_offset: float = 0.0
    http: Sequence[HttpFault] = ()

    def __post_init__(self) -> None:
        _check_range("late", self.late, 0, 1)
        _check_range("late_by", self.late_by, 0, 10)
        _check_range("counter_lag", self.counter_lag, 0, float("inf"))
        _check_range("upload_lag", self.upload_lag, 0, float("inf"))
        if isinstance(self.failing, AbstractSet):
            _check_indices("failing", self.failing)
        else:
            _check_range("failing", self.failing, 0, 1)
        _check_indices("never", self.never)

    def fate(self, seed: int, request: int, index: int) -> Fate:
        """Draw what befalls input file ``index`` of the server's request number ``request``."""
        chance = random.Random(f"{seed}:{request}:{index}")
        jitter = chance.uniform(0.9, 1.1)
        late_by = self.late_by * chance.random() if chance.random() < self.late else 0.0
        if isinstance(self.failing, AbstractSet):
            fails = index in self.failing
        else:
            fails = chance.random() < self.failing
        return Fate(fails, index in self.never, late_by, jitter)


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise InvalidArgumentError(f"{name} must be between {low} and {high}, not {value}")


def _check_indices(name: str, indices: AbstractSet[int]) -> None:
    wrong = sorted(index for index in indices if index < 0)
    if wrong:
        raise InvalidArgumentError(
            f"{name} must hold indices of input files, counted from 0, not {wrong[0]}"
        )
