"""The program ``servicex-layer``."""

from __future__ import annotations

from servicex_layer.cli._main import main

__all__ = ["main"]
