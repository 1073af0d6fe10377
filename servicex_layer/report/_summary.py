"""A report as a few lines of text."""

from __future__ import annotations

import awkward as ak
import numpy as np

from servicex_layer.report._checks import require_report

__all__ = ["summary"]

_MAX_NAMED_FILES = 10


def summary(report: ak.Array) -> str:
    """Summarize a report in a few lines of text.

    Parameters
    ----------
    report : awkward.Array
        The computed report of `from_servicex`.

    Returns
    -------
    str
        The number of files and events, the bytes transferred, the time spent, the number of
        workers, the inputs that failed, and why. Seconds are sums over all files, of which a
        partition may read several at the same time.

    Raises
    ------
    InvalidArgumentError
        If `report` is not a computed report.

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
    require_report(report)
    files = report[~ak.is_none(report.name)]
    events = files.events[files.events >= 0]
    unknown = len(files) - len(events)
    partial = f" (unknown for {unknown} files)" if unknown else ""
    retried = int(ak.sum(report.tries) - len(report))
    retries = f", {retried:,} of them retries" if retried else ""
    lines = [
        f"{_files(report, len(files))}, {ak.sum(events):,} events{partial}",
        (
            f"{_megabytes(files.read)} of {_megabytes(files.size)} MB were transferred, in "
            f"{ak.sum(files.requests):,} calls{retries}"
        ),
        (
            f"seconds: {ak.sum(report.waited):.1f} waiting for files, "
            f"{ak.sum(report.transferred):.1f} transferring, "
            f"{ak.sum(report.interpreted):.1f} making arrays"
        ),
        f"workers: {len(set(report.worker.to_list()))}",
    ]
    failed = [path for path in report.failed.to_list() if path is not None]
    if failed:
        unnamed = len(failed) - _MAX_NAMED_FILES
        more = f" and {unnamed} more" if unnamed > 0 else ""
        lines.append(f"failed: {', '.join(failed[:_MAX_NAMED_FILES])}{more}")
    reasons = {reason for reason in report.reason.to_list() if reason is not None}
    lines.extend(f"reason: {reason}" for reason in sorted(reasons))
    return "\n".join(lines)


def _files(report: ak.Array, finished: int) -> str:
    partitions = len(set(report.partition.to_list()))
    if partitions == len(report):
        return f"{finished} of {partitions} partitions have a file"
    return f"{finished} of {len(report)} files in {partitions} partitions have a result"


def _megabytes(sizes: ak.Array) -> str:
    return f"{np.sum(sizes.to_numpy()) / 1e6:,.2f}"
