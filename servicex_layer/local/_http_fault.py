"""Faults of single calls between a client and the server."""

from __future__ import annotations

import random
from dataclasses import dataclass

from servicex_layer.errors import InvalidArgumentError
from servicex_layer.local._traffic import ROUTES


@dataclass(frozen=True, kw_only=True)
class HttpFault:
    """A fault of calls of one route of a `LocalServiceX`.

    It matches every call of the route, unless ``first``, ``fraction`` or ``ending`` selects some.
    Of several faults, only the first that matches a call happens to it, and those after it don't
    count the call: ``first=2``, then ``first=1`` script three calls. Faults with only a ``delay``
    are the exception: those after them can happen as well.

    Parameters
    ----------
    route
        The route, as in `~servicex_layer.local.Traffic.calls`.
    first
        Match the first so many calls.
    fraction
        Match this fraction (0 to 1) of the calls, chosen by the server's seed and the number of
        the call.
    ending
        Match only result files whose name has this ending. Needs the route ``file``.
    delay
        Seconds to wait before anything else happens to the call.
    status
        The status (400 to 599) of an answer that the server gives without handling the call.
    retry_after
        The ``Retry-After`` of that answer: seconds, or an HTTP date.
    cut
        Close the connection after so many bytes of the body. Shorter bodies are sent in full.

    Raises
    ------
    InvalidArgumentError
        If a value is out of range, values exclude each other, or no fault is set.

    Examples
    --------
    >>> fault = HttpFault(route="file", status=503, first=2)
    >>> [fault.matches(seed="0", number=number) for number in (1, 2, 3)]
    [True, True, False]
    """

    route: str
    first: int | None = None
    fraction: float | None = None
    ending: str = ""
    delay: float = 0.0
    status: int | None = None
    retry_after: int | str | None = None
    cut: int | None = None

    def __post_init__(self) -> None:
        _require(self.route in ROUTES, f"route must be one of {', '.join(ROUTES)}", self.route)
        _require(
            self.first is None or self.fraction is None,
            "first and fraction exclude each other",
            (self.first, self.fraction),
        )
        _require(self.first is None or self.first >= 0, "first must be at least 0", self.first)
        _require(
            self.fraction is None or 0 <= self.fraction <= 1,
            "fraction must be between 0 and 1",
            self.fraction,
        )
        _require(not self.ending or self.route == "file", "ending needs the route file", self.route)
        _require(0 <= self.delay < float("inf"), "delay must be at least 0 seconds", self.delay)
        _require(
            self.status is None or 400 <= self.status <= 599,
            "status must be between 400 and 599",
            self.status,
        )
        _require(
            self.retry_after is None or self.status is not None,
            "retry_after needs a status",
            self.retry_after,
        )
        _require(self.cut is None or self.cut >= 0, "cut must be at least 0 bytes", self.cut)
        _require(
            bool(self.delay) or not self.only_delays, "set at least delay, status or cut", self
        )

    @property
    def only_delays(self) -> bool:
        """Whether the server handles the call as usual after the delay."""
        return self.status is None and self.cut is None

    def matches(self, *, seed: str, number: int) -> bool:
        """Return whether the fault happens to a call; the first call has the number 1."""
        if self.first is not None:
            return number <= self.first
        if self.fraction is not None:
            return random.Random(f"{seed}:{number}").random() < self.fraction
        return True


def _require(condition: bool, message: str, value: object) -> None:
    if not condition:
        raise InvalidArgumentError(f"{message}, not {value!r}")
