"""Clients of embedded and scripted backends, and calls with them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from servicex_layer._config import find_backend
from servicex_layer._model import Backend
from servicex_layer.backend import RestClient
from servicex_layer.local import LocalServiceX
from servicex_layer.net import SYSTEM_CLOCK, Clock


@pytest.fixture
def client(service: LocalServiceX) -> RestClient:
    """Return a client of the embedded ServiceX."""
    return RestClient(find_backend(config_path=service.servicex_yaml), 10.0)


@pytest.fixture
def client_of(serve: Any) -> Callable[..., RestClient]:
    """Make a client of a scripted server; see `serve` for the answers."""

    def client_of(
        answer: Callable[[str, str], Any],
        *,
        token: str | None = None,
        retry_timeout: float = 10.0,
        outage_timeout: float | None = 0.0,
        clock: Clock = SYSTEM_CLOCK,
    ) -> RestClient:
        backend = Backend("far", serve(answer), token)
        return RestClient(backend, retry_timeout, outage_timeout, clock=clock)

    return client_of


@pytest.fixture
def call() -> Callable[[RestClient, Callable[[RestClient], Awaitable[Any]]], Any]:
    """Call a method of a client in an event loop of its own."""

    def call(rest: RestClient, method: Callable[[RestClient], Awaitable[Any]]) -> Any:
        async def connect_and_call() -> Any:
            async with rest.connected():
                return await method(rest)

        return asyncio.run(connect_and_call())

    return call
