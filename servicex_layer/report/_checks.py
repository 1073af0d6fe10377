"""The check that an argument is a computed report."""

from __future__ import annotations

import awkward as ak

from servicex_layer.errors import InvalidArgumentError

__all__ = ["require_report"]


def require_report(report: object) -> None:
    """Check that `report` is a computed report of `from_servicex`.

    Raises
    ------
    InvalidArgumentError
        If it is something else, or is not computed yet.
    """
    if not isinstance(report, ak.Array) or "read_at" not in report.fields:
        raise InvalidArgumentError(
            f"A {type(report).__name__} is not a computed report. Compute the report that "
            "from_servicex(..., report=True) returns: dask.compute(array, report)."
        )
