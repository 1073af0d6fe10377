"""Submission of specifications to ServiceX through the official client."""

from __future__ import annotations

from servicex_layer.submission._apply import apply_to_dataset
from servicex_layer.submission._deliver import deliver
from servicex_layer.submission._submit import submit

__all__ = ["apply_to_dataset", "deliver", "submit"]
