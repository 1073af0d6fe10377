"""What goes wrong between a client and the server, call by call."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal, get_args

from servicex_layer.errors import InvalidArgumentError
from servicex_layer.local._traffic import ROUTES

Ranges = Literal["ignored", "shifted"]


@dataclass(frozen=True, kw_only=True)
class HttpFault:
    """What goes wrong with calls of a route.

    It befalls every call, unless one of ``first``, ``every`` and ``fraction`` says which. What goes
    wrong can be combined, as in ``delay=1.0, status=503``.

    Of several faults of a route, the first that befalls a call is the only one that does, and those
    after it do not count that call: ``first=2`` and then ``first=1`` make a script for three calls.
    Only a mere delay lets those after it befall the call as well.

    Parameters
    ----------
    route
        The calls' route, as in `~servicex_layer.local.Traffic.calls`.
    first
        Befalls the first so many calls.
    every
        Befalls each so manieth call: with 3 the third, the sixth and so on.
    fraction
        Befalls this fraction (0 to 1) of the calls. The server's seed and the number of the call
        decide.
    above
        Befalls the calls beyond so many a second: a rate limit.
    skip
        Leaves the first so many calls alone, and does not count them.
    ending
        Only calls for result files whose name ends like this count.
    delay
        Seconds that pass before anything else happens to the call.
    hang_up
        Close the connection in place of an answer.
    status
        The status (400 to 599) that is answered in place of the server, to whom nothing happens.
    redirect
        The URL to which calls are redirected in place of the server, with ``status`` (301, 302,
        303, 307 or 308) or else 307.
    retry_after
        The ``Retry-After`` of that answer: seconds, or an HTTP date.
    body
        The body that is answered in place of the server, with ``status`` or else 200.
    content_type
        The ``Content-Type`` of that body.
    without
        The key that is missing wherever the answer, which is JSON, had it.
    cut
        Hang up after so many bytes of the body; a shorter body is left alone.
    wrong_length
        Bytes by which the ``Content-Length`` is wrong. Where it is too great, the server hangs up
        after the body; where it is too small, the body ends as it says.
    ranges
        ``ignored`` answers with the whole file where a range of it was asked for, ``shifted`` with
        a range that begins a byte off.

    Raises
    ------
    InvalidArgumentError
        A value is out of its range, does not go with the others, or nothing goes wrong at all.

    Examples
    --------
    >>> fault = HttpFault(route="file", status=503, first=2)
    >>> [fault.befalls(seed="0", number=number) for number in (1, 2, 3)]
    [True, True, False]
    """

    route: str
    first: int | None = None
    every: int | None = None
    fraction: float | None = None
    above: float | None = None
    skip: int = 0
    ending: str = ""
    delay: float = 0.0
    hang_up: bool = False
    status: int | None = None
    redirect: str | None = None
    retry_after: int | str | None = None
    body: str | None = None
    content_type: str = "application/json"
    without: str | None = None
    cut: int | None = None
    wrong_length: int = 0
    ranges: Ranges | None = None

    def __post_init__(self) -> None:
        _check(self.route in ROUTES, f"route must be one of {', '.join(ROUTES)}", self.route)
        chosen = [self.first, self.every, self.fraction, self.above]
        _check(
            sum(choice is not None for choice in chosen) <= 1,
            "only one of first, every, fraction and above can be given",
            chosen,
        )
        _check(self.above is None or self.above > 0, "above must be above 0", self.above)
        _check(self.skip >= 0, "skip must be at least 0", self.skip)
        _check(
            not self.ending or self.route == "file", "ending goes with the route file", self.ending
        )
        _check(self.first is None or self.first >= 0, "first must be at least 0", self.first)
        _check(self.every is None or self.every >= 1, "every must be at least 1", self.every)
        _check(
            self.fraction is None or 0 <= self.fraction <= 1,
            "fraction must be between 0 and 1",
            self.fraction,
        )
        _check(0 <= self.delay < float("inf"), "delay must be at least 0 seconds", self.delay)
        _check(
            self.redirect is not None or self.status is None or 400 <= self.status <= 599,
            "status must be between 400 and 599",
            self.status,
        )
        _check(
            self.redirect is None or self.status in {None, 301, 302, 303, 307, 308},
            "the status of a redirect must be 301, 302, 303, 307 or 308",
            self.status,
        )
        _check(
            not self.hang_up or not (self.replaces_answer or self.disturbs_body or self.without),
            "hang_up leaves no answer for anything else to go wrong with",
            self,
        )
        _check(
            self.without is None or (self.route != "file" and not self.replaces_answer),
            "without goes with answers of the server, but not with the route file",
            self.without,
        )
        _check(
            self.retry_after is None or self.status is not None,
            "retry_after goes with a status",
            self.retry_after,
        )
        _check(self.cut is None or self.cut >= 0, "cut must be at least 0 bytes", self.cut)
        _check(
            self.ranges in {None, *get_args(Ranges)},
            f"ranges must be one of {', '.join(get_args(Ranges))}",
            self.ranges,
        )
        _check(
            self.ranges is None or (self.route == "file" and not self.replaces_answer),
            "ranges goes with the route file, and neither with status nor with body",
            self.ranges,
        )
        _check(
            bool(self.delay) or not self.only_delays,
            "nothing goes wrong: give delay, hang_up, status, redirect, body, without, cut, "
            "wrong_length or ranges",
            self,
        )

    @property
    def only_delays(self) -> bool:
        """Whether nothing happens to the call but the delay."""
        return not (
            self.hang_up
            or self.replaces_answer
            or self.without
            or self.disturbs_body
            or self.ranges
        )

    @property
    def replaces_answer(self) -> bool:
        """Whether the call does not reach the server."""
        return any(one is not None for one in (self.status, self.redirect, self.body))

    @property
    def disturbs_body(self) -> bool:
        """Whether the body that is sent is not the one that was announced."""
        return self.cut is not None or self.wrong_length != 0

    def befalls(self, *, seed: str, number: int, rate: float = 0.0) -> bool:
        """Tell whether it befalls a call, the first having the number 1; `rate` is per second."""
        number -= self.skip
        if number <= 0:
            return False
        if self.above is not None:
            return rate > self.above
        if self.first is not None:
            return number <= self.first
        if self.every is not None:
            return number % self.every == 0
        if self.fraction is not None:
            return random.Random(f"{seed}:{number}").random() < self.fraction
        return True


def _check(condition: bool, message: str, value: object) -> None:
    if not condition:
        raise InvalidArgumentError(f"{message}; not {value!r}")
