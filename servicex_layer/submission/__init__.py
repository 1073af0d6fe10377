"""Submission of specifications to ServiceX through the official client."""

from __future__ import annotations

from servicex_layer.submission._deliver import deliver
from servicex_layer.submission._submit import submit

__all__ = ["deliver", "submit"]
