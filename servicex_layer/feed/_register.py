"""Registers a Dask cluster: sends the plugins and the credentials."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import distributed
from distributed import Client

from servicex_layer._config import Polling, find_backend
from servicex_layer._model import Backend
from servicex_layer.backend import bearer_token
from servicex_layer.errors import (
    InsecureClusterWarning,
    InvalidArgumentError,
)
from servicex_layer.feed._scheduler_plugin import FeedsPlugin
from servicex_layer.feed._worker_plugin import PLUGIN_NAME
from servicex_layer.net import is_loopback

__all__ = ["active_client", "register"]


def active_client() -> Client | None:
    """Tell which Dask client is the active one, if there is one."""
    try:
        client: Client = distributed.default_client()  # type: ignore[no-untyped-call]
    except ValueError:
        return None
    return client


def register(client: Client | None = None, backend: str | None = None) -> Any:
    """Give a Dask cluster what it needs to follow requests of a ServiceX backend.

    The scheduler gets a plugin that holds one feed per request, and the backend's endpoint and
    token: over Dask's own connection, kept in memory. Its workers, also those that join later,
    ask the scheduler. Neither needs a ``servicex.yaml``; all need this package. `from_servicex`
    calls this by itself. Calling it again renews the token and changes nothing else.

    Parameters
    ----------
    client : distributed.Client, optional
        The cluster's client; by default the active one.
    backend : str, optional
        The backend's name in ``servicex.yaml``; by default its default.

    Returns
    -------
    None
        With an asynchronous client something to await.

    Raises
    ------
    InvalidArgumentError
        Where there is no client.
    ConfigError
        Where ``servicex.yaml`` or the backend in it is not found.
    """
    found = client or active_client()
    if found is None:
        raise InvalidArgumentError(
            "There is no Dask client to register with. Make one first, as in "
            "Client(LocalCluster()), or hand it over: register(client)."
        )
    chosen = find_backend(backend)
    sync: Any = found.sync
    return sync(_register, found, chosen, Polling.configured(), is_default=backend is None)


async def _register(
    client: Client, backend: Backend, polling: Polling, *, is_default: bool
) -> None:
    given = bearer_token()
    scheduler: Any = client.scheduler
    if backend.token is not None or given is not None:
        _warn_of_readers(scheduler.address)
    await client.register_plugin(FeedsPlugin(), name=PLUGIN_NAME)
    for name in (backend.name, None) if is_default else (backend.name,):
        await scheduler.servicex_backend(
            alias=name,
            name=backend.name,
            url=backend.url,
            token=backend.token,
            given=given,
            polling=dataclasses.asdict(polling),
        )


_told_of_readers: set[str] = set()


def _warn_of_readers(address: str) -> None:
    """Tell once of a token that goes where others can read it: in the clear, off this machine."""
    scheme, _, place = address.partition("://")
    if scheme not in ("tcp", "ws") or is_loopback(f"http://{place}") or address in _told_of_readers:
        return
    _told_of_readers.add(address)
    warnings.warn(
        f"The token of the ServiceX backend goes to Dask's scheduler at {address} unencrypted. "
        "Give the cluster TLS: distributed.Security, or Dask's settings distributed.comm.tls and "
        "distributed.comm.require-encryption.",
        InsecureClusterWarning,
        stacklevel=2,
    )
