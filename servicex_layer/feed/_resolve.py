"""Decides what partition N gets: a file, no file, or an error. A pure function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from servicex_layer._model import NoFile, ResultFile, TransformStatus
from servicex_layer.feed._outcome import (
    all_failed_error,
    error_for_status,
    incomplete_list_error,
    missing_file_error,
    partition_count_error,
    too_many_failed_error,
    unknown_files_error,
    withdrawn_file_error,
)

__all__ = ["PENDING", "Pending", "Snapshot", "is_pending", "resolve"]


class Pending(Enum):
    """The file is not known yet."""

    PENDING = "pending"


PENDING = Pending.PENDING


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is known of a request after a poll; to be read from any thread.

    Parameters
    ----------
    status : TransformStatus
        The last status.
    backend : str
        The backend's name, for errors.
    files : sequence of ResultFile or None
        The numbered files: a file's index is its number; ``None`` if another list of the session
        gave the number to a file that has not appeared here.
    failures : sequence of str
        The inputs of failed files.
    repeated : sequence of str
        The inputs that the dataset lists more than once.
    withdrawn : sequence of str
        The names of files that were finished and are not any more.
    rows, succeeded, expected_rows : int
        How many rows are known, how many of them say ``success``, and how many the status counts.
    counted_only : bool
        Whether only as many files as the status counts are sure to be results.
    ended : bool
        Whether nothing more is to be expected.
    """

    status: TransformStatus
    backend: str
    files: Sequence[ResultFile | None]
    failures: Sequence[str]
    repeated: Sequence[str]
    withdrawn: Sequence[str]
    rows: int
    succeeded: int
    expected_rows: int
    counted_only: bool
    ended: bool

    @property
    def failed(self) -> int:
        """The number of failed files: rows come before they are counted."""
        return max(len(self.failures), self.status.failed)

    @property
    def numbered(self) -> int:
        """The number of files that can be handed out."""
        files = len(self.files)
        return min(files, self.expected_rows) if self.counted_only else files


def resolve(
    snapshot: Snapshot, number: int, npartitions: int, max_failed: float
) -> ResultFile | NoFile | Pending:
    """Return the file with a number, by what is known of its request.

    Parameters
    ----------
    snapshot : Snapshot
        What is known.
    number : int
        From 0, in order of completion.
    npartitions : int
        How many files are asked for in all.
    max_failed : float
        The fraction (0 to 1) of the request's files that may fail.

    Returns
    -------
    ResultFile, NoFile or Pending
        The file; `NoFile` if the transform ended with fewer files; `PENDING` if neither is known.

    Raises
    ------
    PartitionCountError
        If there are more files than partitions.
    FailedFilesError
        If more files failed than `max_failed` allows, or all of them.
    RequestError
        If the request ended without this file, and not as ``Complete``.
    CompletionOrderError
        If the request ended without a file that another computation has given this number.
    ProtocolError
        If files are missing among the rows of a complete request.
    """
    status = snapshot.status
    if is_pending(snapshot, number, npartitions, max_failed):
        return PENDING
    files = max(status.files, len(snapshot.files))
    if files > npartitions:
        raise partition_count_error(status, files, npartitions)
    if snapshot.withdrawn:
        raise withdrawn_file_error(status, snapshot.withdrawn)
    # Only at the end: until then a file that failed can be transformed again.
    if snapshot.ended and status.status == "Complete" and 0 < status.files <= snapshot.failed:
        raise all_failed_error(status, snapshot.failures)
    if _has_too_many_failed(snapshot, max_failed):
        raise too_many_failed_error(status, snapshot.failures, snapshot.failed, max_failed)
    if number < snapshot.numbered:
        file = snapshot.files[number]
        if file is None:
            raise missing_file_error(status, number)
        on_volume = status.destination == "volume"
        return replace(file, format=status.result_format, volume=on_volume, number=number)
    if status.status != "Complete":
        raise error_for_status(status)
    _check_all_files_known(snapshot)
    place = number - len(snapshot.files)
    failures = snapshot.failures
    if place >= len(failures):
        return NoFile(number)
    return NoFile(number, failures[place], status.explanation() or None)


def is_pending(snapshot: Snapshot, number: int, npartitions: int, max_failed: float) -> bool:
    """Return whether `resolve` neither returns a file nor raises."""
    if snapshot.ended or _has_too_many_failed(snapshot, max_failed):
        return False
    # Only the final number of files shows that there are no more of them than partitions: until
    # then the last partition waits.
    may_be_one_of_more = number + 1 >= npartitions and not snapshot.status.file_count_final
    known = number < snapshot.numbered and snapshot.files[number] is not None
    return not known or may_be_one_of_more


def _has_too_many_failed(snapshot: Snapshot, max_failed: float) -> bool:
    failed, status = snapshot.failed, snapshot.status
    if not max_failed:
        return failed > 0
    # Before the lookup is over, no fraction of the files is known.
    return (
        status.file_count_final and failed > 0 and failed / max(status.files, failed) > max_failed
    )


def _check_all_files_known(snapshot: Snapshot) -> None:
    """Check that the counters and the rows of a complete request account for every file."""
    status, rows, succeeded = snapshot.status, snapshot.rows, snapshot.succeeded
    if (
        rows < snapshot.expected_rows
        or succeeded < status.completed
        or (snapshot.counted_only and rows > snapshot.expected_rows)
    ):
        listed = (
            f"its store has {rows}"
            if snapshot.counted_only
            else f"lists {succeeded} and {rows - succeeded}"
        )
        raise incomplete_list_error(status, snapshot.backend, listed)
    # Of an input that is listed twice, one object is all there is.
    if None in snapshot.files:
        raise missing_file_error(status, snapshot.files.index(None))
    known = len(snapshot.files) + snapshot.failed + len(snapshot.repeated)
    if known < status.files:
        raise unknown_files_error(status, snapshot.backend, len(snapshot.files))
