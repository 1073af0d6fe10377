"""The REST client of a ServiceX backend, and its authentication."""

from __future__ import annotations

from servicex_layer.backend._auth import bearer_token
from servicex_layer.backend._client import RestClient
from servicex_layer.backend._request_state import get_status, list_files

__all__ = ["RestClient", "bearer_token", "get_status", "list_files"]
