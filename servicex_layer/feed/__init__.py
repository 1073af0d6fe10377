"""The numbered list of a request's finished files, and waiting on it."""

from __future__ import annotations

from servicex_layer.feed._cluster import active_client
from servicex_layer.feed._loop_thread import interruptible_result, loop_thread
from servicex_layer.feed._outcome import error_for_status
from servicex_layer.feed._progress_source import ProgressSource, progress_source
from servicex_layer.feed._read_progress import RequestProgress
from servicex_layer.feed._register import register
from servicex_layer.feed._request_ref import RequestRef
from servicex_layer.feed._session import feed, record_read
from servicex_layer.feed._subscriber import Feed
from servicex_layer.feed._wait_in_thread import register_callback, wait
from servicex_layer.feed._wait_on_worker import wait_in_worker_thread, wait_seceded, worker_loop
from servicex_layer.feed._worker_plugin import this_worker

__all__ = [
    "Feed",
    "ProgressSource",
    "RequestProgress",
    "RequestRef",
    "active_client",
    "error_for_status",
    "feed",
    "interruptible_result",
    "loop_thread",
    "progress_source",
    "record_read",
    "register",
    "register_callback",
    "this_worker",
    "wait",
    "wait_in_worker_thread",
    "wait_seceded",
    "worker_loop",
]
