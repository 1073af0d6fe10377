"""From an analysis to the ServiceX query that it needs."""

from __future__ import annotations

from servicex_layer.query._derive import (
    Analysis,
    InputEvents,
    derive_query,
    query_of_outputs,
    run_analysis,
)
from servicex_layer.query._derived_query import DerivedQuery

__all__ = [
    "Analysis",
    "DerivedQuery",
    "InputEvents",
    "derive_query",
    "query_of_outputs",
    "run_analysis",
]
