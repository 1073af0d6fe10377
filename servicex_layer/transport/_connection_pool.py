"""The process's connections to object stores: kept alive, and many in use at a time."""

from __future__ import annotations

import atexit
import functools
import http.client
import os
import urllib.parse
import urllib.request
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection
from urllib3.exceptions import LocationValueError

from servicex_layer.net import check_url, http_timeout, tls_context, unlogged
from servicex_layer.transport._ranges import Range

__all__ = ["MAX_CONNECTIONS", "get", "get_each"]

MAX_CONNECTIONS = 64
"""How many requests for one object are made at a time."""

_POOL_SIZE = 128


def get(url: str, headers: Mapping[str, str], byte_range: Range | None) -> urllib3.BaseHTTPResponse:
    """Get a range of bytes, or all of them, and follow redirects.

    Parameters
    ----------
    url : str
        An ``http`` or ``https`` URL.
    headers : mapping of str to str
        Sent to the URL's own host only.
    byte_range : (int, int) or None
        The first byte and the byte after the last; ``None`` for all.

    Raises
    ------
    urllib3.exceptions.LocationValueError
        If the URL is not a valid one.
    urllib3.exceptions.HTTPError
        If no complete response arrives.
    """
    _check_scheme(url)
    redirects = _CheckedRedirects(
        total=None, connect=0, read=0, other=0, redirect=3, remove_headers_on_redirect=[*headers]
    )
    with unlogged():
        return _manager(_proxy_for(url)).request(
            "GET",
            url,
            headers=_with_range(headers, byte_range),
            timeout=_timeout(),
            retries=redirects,
        )


class _CheckedRedirects(urllib3.Retry):
    """Follow redirects only to URLs that a result may have."""

    def increment(self, method: Any = None, url: Any = None, *args: Any, **kwargs: Any) -> Any:
        """See `urllib3.Retry.increment`."""
        response = kwargs.get("response")
        target = response.get_redirect_location() if response is not None else None
        if target:
            parts = urllib3.util.parse_url(url)
            store = f"{parts.scheme}://{parts.netloc}"
            check_url(urllib.parse.urljoin(url, target), store, "a result")
        return super().increment(method, url, *args, **kwargs)


def get_each(
    url: str, headers: Mapping[str, str], ranges: Sequence[Range]
) -> Iterator[tuple[Range, urllib3.BaseHTTPResponse | None]]:
    """Get ranges of bytes over many connections; yield each with its response.

    One thread sends requests on all connections before it reads the first response. Threads, one
    for each connection, cost more time in waiting for Python's lock than they save.

    Yields ``None`` in place of a failed response or a redirect: use `get` for these. Yields nothing
    behind a proxy.

    Raises
    ------
    urllib3.exceptions.LocationValueError
        If the URL is not a valid one.
    """
    _check_scheme(url)
    if _proxy_for(url):
        return
    target = urllib3.util.parse_url(url).request_uri
    with unlogged():
        pool = _manager(None).connection_from_url(url)
        waiting = deque(ranges)
        free = _connect_many(pool, min(len(ranges), MAX_CONNECTIONS))
        sent: deque[tuple[Range, HTTPConnection]] = deque()
        try:
            while waiting or sent:
                while waiting and free:
                    connection, byte_range = free.pop(), waiting.popleft()
                    with _close_on_failure(connection):
                        connection.request("GET", target, headers=_with_range(headers, byte_range))
                    sent.append((byte_range, connection))
                if not sent:
                    yield waiting.popleft(), None
                    continue
                byte_range, connection = sent.popleft()
                response = _receive(connection)
                if not connection.is_closed:
                    free.append(connection)
                yield byte_range, response
        finally:
            # A response that is still to come would be taken for that to a later request.
            for _, connection in sent:
                connection.close()
            for connection in free:
                put_connection(pool, connection)


def _receive(connection: HTTPConnection) -> urllib3.BaseHTTPResponse | None:
    response: urllib3.BaseHTTPResponse | None = None
    if not connection.is_closed:
        with _close_on_failure(connection):
            response = connection.getresponse()
    if response is not None and response.get_redirect_location():
        return None
    return response


def _connect_many(pool: urllib3.HTTPConnectionPool, number: int) -> list[HTTPConnection]:
    timeout = http_timeout()
    connections = [take_connection(pool) for _ in range(number)]
    closed = [connection for connection in connections if connection.is_closed]
    if closed:
        with ThreadPoolExecutor(len(closed)) as threads:
            list(threads.map(functools.partial(_connect, timeout.connect), closed))
    connected = [connection for connection in connections if not connection.is_closed]
    for connection in connected:
        connection.timeout = timeout.read
    return connected


# Private names of urllib3 2: its pools have no public way to lend a connection, and `urlopen` reads
# each response before it sends the next request. If they change, `get_each` fails at once, and
# tests/transport/test_connection_pool.py says which of the two it is.


def take_connection(pool: urllib3.HTTPConnectionPool) -> HTTPConnection:
    """Take an idle connection out of a pool, or a new one, not connected yet."""
    connection: Any = pool._get_conn()
    return connection  # type: ignore[no-any-return]


def put_connection(pool: urllib3.HTTPConnectionPool, connection: HTTPConnection) -> None:
    """Put a connection back; the pool closes it if it has enough."""
    pool._put_conn(connection)


def _check_scheme(url: str) -> None:
    # urllib3 takes a text without a scheme for a host.
    if not url.startswith(("http://", "https://")):
        raise LocationValueError("not a URL of http or https")


@contextmanager
def _close_on_failure(connection: HTTPConnection) -> Iterator[None]:
    try:
        yield
    except (OSError, http.client.HTTPException, urllib3.exceptions.HTTPError):
        connection.close()


def _connect(timeout: float | None, connection: HTTPConnection) -> None:
    connection.timeout = timeout
    with _close_on_failure(connection):
        connection.connect()


def _with_range(headers: Mapping[str, str], byte_range: Range | None) -> Mapping[str, str]:
    if byte_range is None:
        return headers
    start, stop = byte_range
    return {**headers, "Range": f"bytes={start}-{stop - 1}"}


def _timeout() -> urllib3.Timeout:
    timeout = http_timeout()
    return urllib3.Timeout(connect=timeout.connect, read=timeout.read)


def _proxy_for(url: str) -> str | None:
    """Return the proxy that the environment names for a URL, as httpx does."""
    parts = urllib3.util.parse_url(url)
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme or "") or proxies.get("all")
    if proxy is None or urllib.request.proxy_bypass(parts.host or ""):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


@functools.cache
def _manager(proxy: str | None) -> urllib3.PoolManager:
    if proxy is None:
        manager = urllib3.PoolManager(maxsize=_POOL_SIZE, ssl_context=tls_context())
    else:
        manager = urllib3.ProxyManager(proxy, maxsize=_POOL_SIZE, ssl_context=tls_context())
    atexit.register(manager.clear)
    return manager


# Two processes on one connection would get each other's responses. Windows has no fork.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_manager.cache_clear)
