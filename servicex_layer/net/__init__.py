"""What all HTTP calls share: retries, timeouts, TLS, logging and the URL policy."""

from __future__ import annotations

from servicex_layer.net._clock import SYSTEM_CLOCK, Clock
from servicex_layer.net._logging import unlogged
from servicex_layer.net._retry import (
    RETRY_STATUSES,
    TransientError,
    http_timeout,
    json_or_none,
    retry_after,
    retry_policy,
    tls_context,
)
from servicex_layer.net._s3_errors import (
    UNTRUSTED_CERTIFICATE,
    is_certificate_error,
    parse_s3_error,
    s3_error,
)
from servicex_layer.net._url_policy import check_url, is_loopback

__all__ = [
    "RETRY_STATUSES",
    "SYSTEM_CLOCK",
    "UNTRUSTED_CERTIFICATE",
    "Clock",
    "TransientError",
    "check_url",
    "http_timeout",
    "is_certificate_error",
    "is_loopback",
    "json_or_none",
    "parse_s3_error",
    "retry_after",
    "retry_policy",
    "s3_error",
    "tls_context",
    "unlogged",
]
