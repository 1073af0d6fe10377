"""A scripted object store, and results that are read whole or in ranges."""

from __future__ import annotations

from collections.abc import Iterator

import dask.config
import pytest
from transport.scripted_store import ScriptedStore, serve  # type: ignore[import-not-found]


@pytest.fixture
def store() -> Iterator[ScriptedStore]:
    store = ScriptedStore()
    with serve(store), dask.config.set({"servicex-layer.range-threshold": 100_000}):
        yield store


@pytest.fixture
def short_retries() -> Iterator[None]:
    with dask.config.set({"servicex-layer.retry-timeout": "300ms"}):
        yield


@pytest.fixture(params=[True, False], ids=["whole", "ranges"])
def whole(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Have the store's object fetched whole, or in ranges."""
    with dask.config.set({"servicex-layer.range-threshold": "2MB" if request.param else "100kB"}):
        yield request.param
