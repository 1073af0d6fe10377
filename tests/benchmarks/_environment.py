"""The versions and the machine that a benchmark ran with."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Iterable
from datetime import UTC, datetime

import psutil  # type: ignore[import-untyped]


def describe_environment(packages: Iterable[str]) -> str:
    """Return a sentence without its full stop: date, machine, and versions of packages."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    return (
        f"Measured on {datetime.now(UTC):%Y-%m-%d} on a shared machine of {os.cpu_count()} cores "
        f"and {psutil.virtual_memory().total / 1e9:.0f} GB of memory ({platform.machine()}), "
        f"Python {platform.python_version()}, {versions}"
    )
