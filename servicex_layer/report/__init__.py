"""What happened to each partition: as data, as text and as a picture."""

from __future__ import annotations

from servicex_layer.graph import record
from servicex_layer.report._failures import failures
from servicex_layer.report._summary import summary
from servicex_layer.report._timeline import timeline

__all__ = ["failures", "record", "summary", "timeline"]


def __dir__() -> list[str]:
    return sorted(__all__)
