"""A report in words, and as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import awkward as ak
import numpy as np

from servicex_layer.errors import InvalidArgumentError, MissingExtraError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["summary", "timeline"]

# How many failed files are named.
_NAMED = 10


def summary(report: ak.Array) -> str:
    """Say in a few lines what happened.

    Parameters
    ----------
    report : awkward.Array
        The computed report of `from_servicex`.

    Returns
    -------
    str
        How many files and events were read, how many bytes that took at what rate, where the time
        went, on how many workers, and which files failed. Seconds are sums over all partitions.

    Raises
    ------
    InvalidArgumentError
        Where `report` is no report, or is not computed.

    Examples
    --------
    >>> events, report = from_servicex(request_id, report=True)  # doctest: +SKIP
    >>> total, records = dask.compute(ak.sum(events.x), report)  # doctest: +SKIP
    >>> print(summary(records))  # doctest: +SKIP
    4 of 4 partitions have a file, 40 events
    0.02 of 0.05 MB were transferred, in 4 calls
    seconds: 1.2 waiting for files, 0.1 transferring, 0.1 making arrays
    workers: 2
    """
    _check(report)
    found = report[~ak.is_none(report.name)]
    events = found.events[found.events >= 0]
    untold = "" if len(events) == len(found) else f" in the {len(events)} files that tell"
    retried = int(ak.sum(report.tries) - len(report))
    again = f", {retried:,} of them again" if retried else ""
    lines = [
        f"{len(found)} of {len(report)} partitions have a file, {ak.sum(events):,} events{untold}",
        (
            f"{_megabytes(found.read)} of {_megabytes(found.size)} MB were transferred, in "
            f"{ak.sum(found.requests):,} calls{again}"
        ),
        (
            f"seconds: {ak.sum(report.waited):.1f} waiting for files, "
            f"{ak.sum(report.transferred):.1f} transferring, "
            f"{ak.sum(report.interpreted):.1f} making arrays"
        ),
        f"workers: {len(set(report.worker.to_list()))}",
    ]
    failed = [name for name in report.failed.to_list() if name is not None]
    if failed:
        more = f" and {len(failed) - _NAMED} more" if len(failed) > _NAMED else ""
        lines.append(f"failed: {', '.join(failed[:_NAMED])}{more}")
    return "\n".join(lines)


def timeline(report: ak.Array) -> Figure:
    """Draw when each file was finished, waited for, transferred and made an array, by worker.

    Each partition has a row. Those of a worker are together, in the order in which they were read.
    A wait is drawn as if it had ended right before the transfer; where a worker had other things
    to do in between, it ended earlier. Times by the server's clock (finished) and by the workers'
    (all else) are drawn on one axis: clocks that differ shift them against each other.

    Parameters
    ----------
    report : awkward.Array
        The computed report of `from_servicex`.

    Returns
    -------
    matplotlib.figure.Figure
        A figure that fits a slide. In a notebook it is shown; ``savefig`` writes it.

    Raises
    ------
    InvalidArgumentError
        Where `report` is no report, or is not computed.
    MissingExtraError
        Where matplotlib is not installed.

    Examples
    --------
    >>> events, report = from_servicex(request_id, report=True)  # doctest: +SKIP
    >>> total, records = dask.compute(ak.sum(events.x), report)  # doctest: +SKIP
    >>> timeline(records).savefig("timeline.png")  # doctest: +SKIP
    """
    _check(report)
    try:
        from servicex_layer.report._timeline import draw
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"The timeline needs {error.name}, which is not installed: "
            'pip install "servicex_layer[plot]"'
        ) from error
    return draw(report)


def _check(report: object) -> None:
    if not isinstance(report, ak.Array) or "read_at" not in report.fields:
        kind = type(report).__name__
        raise InvalidArgumentError(
            f"A {kind} is no computed report. Compute the one that from_servicex(…, report=True) "
            "gives beside the array: dask.compute(array, report)."
        )


def _megabytes(sizes: ak.Array) -> str:
    return f"{np.sum(sizes.to_numpy()) / 1e6:,.2f}"
