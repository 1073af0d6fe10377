"""Registers a Dask cluster: sends it the plugins, the credentials and the settings."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

from distributed import Client

from servicex_layer._config import Polling, find_backend
from servicex_layer._model import Backend
from servicex_layer.backend import bearer_token
from servicex_layer.errors import InsecureClusterWarning, InvalidArgumentError
from servicex_layer.feed._cluster import active_client, add_cluster
from servicex_layer.feed._scheduler_plugin import FeedsPlugin
from servicex_layer.feed._worker_plugin import PLUGIN_NAME
from servicex_layer.net import is_loopback

__all__ = ["register"]


def register(client: Client | None = None, backend: str | None = None) -> Any:
    """Enable a Dask cluster to follow requests of a ServiceX backend.

    The scheduler gets a plugin that holds one feed per request, and the backend's endpoint and
    token: over Dask's own connection, kept in memory. The workers, also those that join later,
    ask the scheduler. Neither needs a ``servicex.yaml``; all need this package. `from_servicex`
    registers the cluster of the active client by itself. Registering again renews the token and
    changes nothing else.

    Parameters
    ----------
    client : distributed.Client, optional
        The cluster's client; by default the active one.
    backend : str, optional
        The backend's name in ``servicex.yaml`` or its URL; by default the file's default.

    Returns
    -------
    None
        With an asynchronous client something to await.

    Raises
    ------
    InvalidArgumentError
        If there is no client.
    ConfigError
        If ``servicex.yaml`` is missing or invalid.
    UnknownBackendError
        If it has no such backend.
    """
    client = client or active_client()
    if client is None:
        raise InvalidArgumentError(
            "There is no Dask client to register with. Make one first, as in "
            "Client(LocalCluster()), or pass it: register(client)."
        )
    sync: Any = client.sync
    is_default = backend is None
    return sync(_register, client, find_backend(backend), Polling.configured(), is_default)


async def _register(client: Client, backend: Backend, polling: Polling, is_default: bool) -> None:
    access_token = bearer_token()
    scheduler: Any = client.scheduler
    if backend.token is not None or access_token is not None:
        _warn_if_readable(scheduler.address)
    await client.register_plugin(FeedsPlugin(), name=PLUGIN_NAME)
    for alias in (backend.name, None) if is_default else (backend.name,):
        await scheduler.servicex_backend(
            alias=alias,
            name=backend.name,
            url=backend.url,
            refresh_token=backend.token,
            access_token=access_token,
            polling=dataclasses.asdict(polling),
        )
    add_cluster(client, backend.url)


_warned_addresses: set[str] = set()


def _warn_if_readable(address: str) -> None:
    """Warn once if a token goes to an address unencrypted, and off this machine."""
    scheme, _, place = address.partition("://")
    if scheme not in ("tcp", "ws") or is_loopback(f"http://{place}"):
        return
    if address in _warned_addresses:
        return
    _warned_addresses.add(address)
    warnings.warn(
        f"The token of the ServiceX backend goes to Dask's scheduler at {address} unencrypted. "
        "Give the cluster TLS: distributed.Security, or Dask's settings distributed.comm.tls and "
        "distributed.comm.require-encryption.",
        InsecureClusterWarning,
        stacklevel=2,
    )
