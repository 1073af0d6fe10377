"""What all HTTP calls share: retries, timeouts, TLS and the URL policy."""

from __future__ import annotations

from servicex_layer.net._retry import (
    PASSING,
    PassingError,
    http_timeout,
    parsed,
    policy,
    retry_after,
    tls,
)
from servicex_layer.net._s3_errors import UNTRUSTED, as_error, is_untrusted, said
from servicex_layer.net._url_policy import check_url, is_loopback

__all__ = [
    "PASSING",
    "UNTRUSTED",
    "PassingError",
    "as_error",
    "check_url",
    "http_timeout",
    "is_loopback",
    "is_untrusted",
    "parsed",
    "policy",
    "retry_after",
    "said",
    "tls",
]
