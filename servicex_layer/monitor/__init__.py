"""How far requests are while they run."""

from __future__ import annotations

from servicex_layer.monitor._progress import progress

__all__ = ["progress"]
