"""A ServiceX to whose calls any fault can happen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from wire_faults import WireFaults  # type: ignore[import-not-found]

from servicex_layer.local import LocalServiceX


@pytest.fixture(scope="session")
def wire_faults() -> Any:
    """Make faults happen to calls of the shared service."""
    return WireFaults()


@pytest.fixture(scope="session")
def shared_service(nothing_left: None, wire_faults: Any) -> Iterator[LocalServiceX]:
    with LocalServiceX(authentication=True, middleware=wire_faults.middleware) as service:
        yield service
