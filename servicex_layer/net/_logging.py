"""Keep the calls of this package out of the logs of the HTTP libraries."""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["unlogged"]

_LOGGERS = (
    "httpcore.connection",
    "httpcore.http11",
    "httpcore.proxy",
    "httpx",
    "urllib3.connection",
    "urllib3.connectionpool",
    "urllib3.poolmanager",
    "urllib3.util.retry",
)

_muted = contextvars.ContextVar("_muted", default=False)


@contextmanager
def unlogged() -> Iterator[None]:
    """Mute httpx, httpcore and urllib3 within the context; the user's own calls stay logged.

    They log a line for each poll and, at the level DEBUG, headers and signed URLs.
    """
    before = _muted.get()
    _muted.set(True)
    try:
        yield
    finally:
        # Not `ContextVar.reset`: a generator may be closed in another context.
        _muted.set(before)


def _is_logged(_record: logging.LogRecord) -> bool:
    return not _muted.get()


for _name in _LOGGERS:
    logging.getLogger(_name).addFilter(_is_logged)
