"""Faults of a ServiceX server: rows out of order, files that fail, clocks that differ."""

from __future__ import annotations

import random
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from servicex_layer.errors import InvalidArgumentError
from servicex_layer.local._http_fault import HttpFault


@dataclass(frozen=True)
class FileFate:
    """What happens to the transformation of one input file."""

    fails: bool
    never_ends: bool
    late_by: float
    jitter: float


@dataclass(frozen=True)
class Faults:
    """The faults of a `LocalServiceX`.

    What happens to a file depends only on the server's seed, the number of the request and the
    index of the input file, not on the order in which files finish: a run can be repeated.
    Manual requests ignore ``late``, ``whole_seconds`` and the lags: their tests release each row.

    Parameters
    ----------
    late
        Fraction (0 to 1) of the rows that become visible late: their ``created_at`` and ``id`` are
        smaller than those of rows that were visible before.
    late_by
        The longest delay of such a row, in seconds (0 to 10).
    whole_seconds
        Cut ``created_at`` to whole seconds, which makes ties.
    counter_lag
        Seconds from a row's becoming visible to its being counted in ``files-completed`` or
        ``files-failed``.
    upload_lag
        Seconds from a result's being counted to its upload. Needs a server of 2024.
    failing
        Indices of the input files whose transformation fails, or a fraction (0 to 1) of them.
    never
        Indices of the input files whose transformation never ends. Other files don't wait for them.
    clock_offset
        Seconds by which the server's clock is ahead of this machine's.
    failed_uploads
        Transform the ``failing`` files, but fail to upload their results: their rows have an object
        name and a size, and only ``transform_status`` is ``failure``.
    complete_after
        The number of files after which the lookup of a request ends and leaves out the others, as
        if the first batch were finished before the lookup: the request becomes ``Complete`` too
        early, on servers of 2024 and 2025. ``GET /servicex/datasets/{did_id}`` has all files.
    unnamed_on_volume
        Name results on a volume ``none`` in their rows.
    utc_offset
        Seconds by which ``created_at`` is ahead of UTC, as if the database used local time.
    http
        Faults of calls. Of those of one route, only the first that matches a call happens.

    Raises
    ------
    InvalidArgumentError
        If a fraction, a number of seconds or an index is out of range.
    """

    late: float = 0.0
    late_by: float = 0.0
    whole_seconds: bool = False
    counter_lag: float = 0.0
    upload_lag: float = 0.0
    failing: AbstractSet[int] | float = frozenset()
    never: AbstractSet[int] = frozenset()
    clock_offset: float = 0.0
    failed_uploads: bool = False
    complete_after: int | None = None
    unnamed_on_volume: bool = False
    utc_offset: float = 0.0
    http: Sequence[HttpFault] = ()

    def __post_init__(self) -> None:
        _require_range("late", self.late, 0, 1)
        _require_range("late_by", self.late_by, 0, 10)
        _require_range("counter_lag", self.counter_lag, 0, float("inf"))
        _require_range("upload_lag", self.upload_lag, 0, float("inf"))
        if isinstance(self.failing, AbstractSet):
            _require_indices("failing", self.failing)
        else:
            _require_range("failing", self.failing, 0, 1)
        _require_indices("never", self.never)
        if self.complete_after is not None:
            _require_range("complete_after", self.complete_after, 1, float("inf"))
        _require_range("utc_offset", abs(self.utc_offset), 0, 86_400)

    def fate(self, seed: int, request: int, index: int) -> FileFate:
        """Draw what happens to input file ``index`` of the server's request number ``request``."""
        chance = random.Random(f"{seed}:{request}:{index}")
        jitter = chance.uniform(0.9, 1.1)
        late_by = self.late_by * chance.random() if chance.random() < self.late else 0.0
        if isinstance(self.failing, AbstractSet):
            fails = index in self.failing
        else:
            fails = chance.random() < self.failing
        return FileFate(fails, index in self.never, late_by, jitter)


def _require_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise InvalidArgumentError(f"{name} must be between {low} and {high}, not {value}")


def _require_indices(name: str, indices: AbstractSet[int]) -> None:
    negative = [index for index in indices if index < 0]
    if negative:
        raise InvalidArgumentError(
            f"{name} must hold indices of input files, counted from 0, not {min(negative)}"
        )
