"""The numbered list of a request's finished files, and waiting on it."""

from __future__ import annotations

from servicex_layer.feed._cluster import active_client, register, this_worker
from servicex_layer.feed._feed import ended_badly
from servicex_layer.feed._process import background, feed, note_read, process_feed
from servicex_layer.feed._read_progress import State
from servicex_layer.feed._wait_in_thread import follow, wait
from servicex_layer.feed._wait_on_worker import loop_of, park

__all__ = [
    "State",
    "active_client",
    "background",
    "ended_badly",
    "feed",
    "follow",
    "loop_of",
    "note_read",
    "park",
    "process_feed",
    "register",
    "this_worker",
    "wait",
]
