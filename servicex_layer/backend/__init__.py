"""The REST client of a ServiceX backend, and its authentication."""

from __future__ import annotations

from servicex_layer.backend._auth import bearer_token
from servicex_layer.backend._client import RestClient
from servicex_layer.backend._request_state import (
    cancel_request,
    failed_inputs,
    get_log,
    get_status,
    list_files,
    list_requests,
    rest_client,
)
from servicex_layer.backend._request_status import RequestStatus
from servicex_layer.backend._text_table import text_table

__all__ = [
    "RequestStatus",
    "RestClient",
    "bearer_token",
    "cancel_request",
    "failed_inputs",
    "get_log",
    "get_status",
    "list_files",
    "list_requests",
    "rest_client",
    "text_table",
]
