"""The texts of a request's errors and warnings."""

from __future__ import annotations

from collections.abc import Sequence

from servicex_layer._model import TransformStatus
from servicex_layer.errors import (
    BadDatasetError,
    CompletionOrderError,
    FailedFilesError,
    PartitionCountError,
    ProtocolError,
    RequestError,
    TransformCanceledError,
    TransformFatalError,
)

__all__ = [
    "all_failed_error",
    "error_for_status",
    "failed_files_warning",
    "incomplete_list_error",
    "missing_file_error",
    "partition_count_error",
    "repeated_inputs_warning",
    "too_many_failed_error",
    "unknown_files_error",
    "withdrawn_file_error",
]

# How many inputs a message names.
_NAMED = 3

_ERRORS: dict[str, type[RequestError]] = {
    "Fatal": TransformFatalError,
    "Canceled": TransformCanceledError,
    "Bad Dataset": BadDatasetError,
}


def error_for_status(status: TransformStatus) -> RequestError:
    """Return the error for a request that ended with another status than ``Complete``."""
    return _ERRORS.get(status.status, RequestError)(
        f"Request {status.request_id} ended as {status}.{_explanation(status)}"
    )


def partition_count_error(
    status: TransformStatus, files: int, npartitions: int
) -> PartitionCountError:
    """Return the error for an array that has fewer partitions than its request has files."""
    return PartitionCountError(
        f"Request {status.request_id} has {files} files but the array has {npartitions} "
        "partitions: some would be lost. Make the array once the lookup is over, with the number "
        "of files as number of partitions."
    )


def all_failed_error(status: TransformStatus, failures: Sequence[str]) -> FailedFilesError:
    """Return the error for a request without any result, whatever `on_failed` is."""
    return FailedFilesError(
        f"Request {status.request_id}: all {status.files} of {status.files} files failed"
        f"{_named(failures, status.files)}. Correct the query or the dataset, and submit the "
        f"request again.{_explanation(status)}"
    )


def too_many_failed_error(
    status: TransformStatus, failures: Sequence[str], failed: int, max_failed: float
) -> FailedFilesError:
    """Return the error for more failed files than `max_failed` allows."""
    bound = f"That is more than max_failed={max_failed:g} allows. " if max_failed else ""
    return FailedFilesError(
        f"{_failed_files(status, failures, failed)} {bound}Leave their events out with "
        f"on_failed='skip', or submit the request again.{_explanation(status)}"
    )


def failed_files_warning(status: TransformStatus, failures: Sequence[str], failed: int) -> str:
    """Return the text that warns of empty partitions in place of failed files."""
    return (
        f"{_failed_files(status, failures, failed)} As many partitions at the end are empty. To "
        f"have an error instead, give on_failed='raise' or max_failed.{_explanation(status)}"
    )


def repeated_inputs_warning(status: TransformStatus, repeated: Sequence[str]) -> str:
    """Return the text that warns of inputs that the dataset lists more than once."""
    return (
        f"Request {status.request_id}: its dataset lists {len(repeated)} of {status.files} files "
        f"more than once{_named(repeated, len(repeated))}. Each file is read once; as many "
        "partitions at the end are empty."
    )


def incomplete_list_error(status: TransformStatus, backend: str, listed: str) -> ProtocolError:
    """Return the error for a backend or store that lists other files than the backend counts."""
    return ProtocolError(
        f"Request {status.request_id}: the backend {backend} counts {status.completed} finished "
        f"and {status.failed} failed files but {listed}. The result would not be right; ask the "
        "backend's operators."
    )


def unknown_files_error(status: TransformStatus, backend: str, files: int) -> ProtocolError:
    """Return the error for a complete request that leaves files unaccounted for."""
    return ProtocolError(
        f"Request {status.request_id}: the backend {backend} says {status}, and lists {files} "
        "results. Nothing is known of the others, and the result would not be whole; ask the "
        "backend's operators."
    )


def missing_file_error(status: TransformStatus, number: int) -> CompletionOrderError:
    """Return the error for a file that an earlier computation has numbered, and that is gone."""
    return CompletionOrderError(
        f"Request {status.request_id} ended without the file that an earlier computation of this "
        f"session has as partition {number}, so results of the two can't be combined. Start again "
        "in a new session, or submit the request again."
    )


def withdrawn_file_error(status: TransformStatus, names: Sequence[str]) -> ProtocolError:
    """Return the error for finished files that the backend reports as failed afterwards."""
    return ProtocolError(
        f"Request {status.request_id}: the backend had reported {len(names)} of its files as "
        f"finished, and does not any more{_named(names, len(names))}. They may have been read "
        "already. Compute again from the start in a new session, or submit the request again."
    )


def _failed_files(status: TransformStatus, failures: Sequence[str], failed: int) -> str:
    return (
        f"Request {status.request_id}: {failed} of {status.files} files failed"
        f"{_named(failures, failed)}."
    )


def _named(names: Sequence[str], total: int) -> str:
    if not names:
        return ""
    more = f" and {total - _NAMED} more" if total > _NAMED else ""
    return f": {', '.join(names[:_NAMED])}{more}"


def _explanation(status: TransformStatus) -> str:
    explanation = status.explanation()
    return f" {explanation}" if explanation else ""
