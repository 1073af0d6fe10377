"""Checks of the arguments that say which files of a request become which partitions.

Functions that ask a backend, or submit to it, check them first.
"""

from __future__ import annotations

from typing import TypeGuard

from servicex_layer.errors import InvalidArgumentError

__all__ = [
    "validate_failure_policy",
    "validate_file_count",
    "validate_files_per_partition",
    "validate_npartitions",
    "validate_request_id",
]


def validate_request_id(request_id: object) -> None:
    """Raise an `InvalidArgumentError` if this is not a request's id."""
    if not isinstance(request_id, str) or not request_id:
        raise InvalidArgumentError(
            f"request_id={request_id!r} is not a valid request id. ServiceX gives a string such as "
            "'b5901cca-9858-42e7-a093-0929cf391f0e'."
        )


def validate_npartitions(npartitions: object) -> None:
    """Raise an `InvalidArgumentError` if this is not a number of partitions."""
    if not _is_integer(npartitions, least=0):
        raise InvalidArgumentError(
            f"npartitions={npartitions!r} must be a non-negative integer: the number of files."
        )


def validate_failure_policy(on_failed: object, max_failed: object) -> None:
    """Raise an `InvalidArgumentError` if these don't say what failed files are."""
    if on_failed not in ("skip", "raise"):
        raise InvalidArgumentError(f"on_failed={on_failed!r} must be 'skip' or 'raise'.")
    if not isinstance(max_failed, int | float) or not 0 <= max_failed <= 1:
        raise InvalidArgumentError(
            f"max_failed={max_failed!r} must be a number from 0 to 1: a fraction of the files."
        )
    if on_failed == "raise" and max_failed != 1:
        raise InvalidArgumentError(
            f"max_failed={max_failed!r} needs on_failed='skip': with 'raise' no file may fail."
        )


def validate_files_per_partition(files_per_partition: object) -> None:
    """Raise an `InvalidArgumentError` if a partition can't hold this number of files."""
    if not _is_integer(files_per_partition, least=1):
        raise InvalidArgumentError(
            f"files_per_partition={files_per_partition!r} must be a positive integer."
        )


def validate_file_count(file_count: object, npartitions: int, files_per_partition: int) -> None:
    """Raise an `InvalidArgumentError` if so many files don't fill the partitions."""
    room = npartitions * files_per_partition
    least = room - files_per_partition + 1 if room else 0
    if not _is_integer(file_count, least=least) or not file_count <= room:
        raise InvalidArgumentError(
            f"file_count={file_count!r} must be an integer from {least} to {room} for "
            f"npartitions={npartitions} with files_per_partition={files_per_partition}."
        )


def _is_integer(value: object, *, least: int) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
