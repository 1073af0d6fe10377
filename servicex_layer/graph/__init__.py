"""Dask graphs over requests: layers, tasks, projection, and the arrays made of them."""

from __future__ import annotations

from servicex_layer.graph._arguments import (
    validate_failure_policy,
    validate_files_per_partition,
    validate_request_id,
)
from servicex_layer.graph._array import array_of, from_servicex
from servicex_layer.graph._dask_awkward import require_dask_awkward
from servicex_layer.graph._dask_tasks import Task, call_with_results
from servicex_layer.graph._file_count import wait_for_file_count
from servicex_layer.graph._file_layer import SXFileLayer
from servicex_layer.graph._lazy_layer import LazyLayer
from servicex_layer.graph._load_layer import UprootLoadLayer
from servicex_layer.graph._record import record
from servicex_layer.graph._result_source import result_source

__all__ = [
    "LazyLayer",
    "SXFileLayer",
    "Task",
    "UprootLoadLayer",
    "array_of",
    "call_with_results",
    "from_servicex",
    "record",
    "require_dask_awkward",
    "result_source",
    "validate_failure_policy",
    "validate_files_per_partition",
    "validate_request_id",
    "wait_for_file_count",
]
