"""The process's connections to object stores: kept alive, and many in use at a time."""

from __future__ import annotations

import atexit
import functools
import http.client
import logging
import os
import threading
import urllib.parse
import urllib.request
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import urllib3
from urllib3.exceptions import LocationValueError

from servicex_layer.net import check_url, http_timeout, tls_context
from servicex_layer.transport._ranges import Range

__all__ = ["CONNECTIONS", "get", "get_each"]

CONNECTIONS = 64
"""How many calls for one object are made at a time."""

_POOL_SIZE = 128

Answer = urllib3.BaseHTTPResponse


def get(url: str, headers: Mapping[str, str], wanted: Range | None) -> Answer:
    """Ask for a range of bytes, or for all; where sent on to another host, without `headers`.

    Raises
    ------
    urllib3.exceptions.LocationValueError
        Where the URL is none.
    urllib3.exceptions.HTTPError
        Where no whole answer comes.
    """
    _check(url)
    with _quiet():
        return _manager(_proxy(url)).request(
            "GET",
            url,
            headers=_asking_for(wanted, headers),
            timeout=_timeout(),
            retries=_Redirects(
                total=None,
                connect=0,
                read=0,
                other=0,
                redirect=3,
                remove_headers_on_redirect=[*headers],
            ),
        )


class _Redirects(urllib3.Retry):
    """Follows redirects, but no further than URLs of results may lead."""

    def increment(self, method: Any = None, url: Any = None, *rest: Any, **known: Any) -> Any:
        """See `urllib3.Retry.increment`."""
        response = known.get("response")
        target = response.get_redirect_location() if response is not None else None
        if target:
            here = urllib3.util.parse_url(url)
            store = f"{here.scheme}://{here.netloc}"
            check_url(urllib.parse.urljoin(url, target), store, "a result")
        return super().increment(method, url, *rest, **known)


def get_each(
    url: str, headers: Mapping[str, str], wanted: Sequence[Range]
) -> Iterator[tuple[Range, Answer | None]]:
    """Ask for ranges of bytes, many at a time; gives each with its answer.

    ``None`` is given for one that got none: what the matter is tells `get`. Behind a proxy none is
    asked for, and nothing given.

    Raises
    ------
    urllib3.exceptions.LocationValueError
        Where the URL is none.
    """
    _check(url)
    if _proxy(url):
        return
    target = urllib3.util.parse_url(url).request_uri
    with _quiet():
        pool: Any = _manager(None).connection_from_url(url)
        yield from pool.get_each(target, headers, wanted)


class _ManyAtATime:
    """Lets one thread ask over many connections before it reads the first answer.

    Threads, one for each connection, cost more time in waiting for Python's lock than they save.
    """

    def get_each(
        self: Any, target: str, headers: Mapping[str, str], wanted: Sequence[Range]
    ) -> Iterator[tuple[Range, Answer | None]]:
        """See `get_each`; `target` is the URL without the host."""
        waiting = deque(wanted)
        free = self._connected(min(len(wanted), CONNECTIONS))
        asked: deque[tuple[Range, Any]] = deque()
        try:
            while waiting or asked:
                while waiting and free:
                    connection, one = free.pop(), waiting.popleft()
                    with _closing_at_failure(connection):
                        connection.request("GET", target, headers=_asking_for(one, headers))
                    asked.append((one, connection))
                if not asked:
                    yield waiting.popleft(), None
                    continue
                one, connection = asked.popleft()
                answer = None
                if not connection.is_closed:
                    with _closing_at_failure(connection):
                        answer = connection.getresponse()
                        # That is followed by `get`.
                        answer = None if answer.get_redirect_location() else answer
                if not connection.is_closed:
                    free.append(connection)
                yield one, answer
        finally:
            # What is still to come would be taken for the answer to another call.
            for _, connection in asked:
                connection.close()
            for connection in free:
                self._put_conn(connection)

    def _connected(self: Any, number: int) -> list[Any]:
        timeout = _timeout()
        connections = [self._get_conn() for _ in range(number)]
        closed = [connection for connection in connections if connection.is_closed]
        if closed:
            with ThreadPoolExecutor(len(closed)) as threads:
                list(threads.map(functools.partial(_connect, timeout.connect_timeout), closed))
        opened = [connection for connection in connections if not connection.is_closed]
        for connection in opened:
            connection.timeout = timeout.read_timeout
        return opened


class _HTTPPool(_ManyAtATime, urllib3.HTTPConnectionPool):
    pass


class _HTTPSPool(_ManyAtATime, urllib3.HTTPSConnectionPool):
    pass


def _check(url: str) -> None:
    # urllib3 takes what is no URL for a host.
    if not url.startswith(("http://", "https://")):
        raise LocationValueError("no URL of HTTP")


@contextmanager
def _closing_at_failure(connection: Any) -> Iterator[None]:
    try:
        yield
    except (OSError, http.client.HTTPException, urllib3.exceptions.HTTPError):
        connection.close()


def _connect(timeout: Any, connection: Any) -> None:
    connection.timeout = timeout
    with _closing_at_failure(connection):
        connection.connect()


def _asking_for(wanted: Range | None, headers: Mapping[str, str]) -> Mapping[str, str]:
    if wanted is None:
        return headers
    start, stop = wanted
    return {**headers, "Range": f"bytes={start}-{stop - 1}"}


def _timeout() -> urllib3.Timeout:
    timeout = http_timeout()
    return urllib3.Timeout(connect=timeout.connect, read=timeout.read)


def _proxy(url: str) -> str | None:
    """Tell which proxy the environment names for a URL, as for httpx's calls."""
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
    manager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
    atexit.register(manager.clear)
    return manager


# Two processes on one connection would get each other's answers.
os.register_at_fork(after_in_child=_manager.cache_clear)

_calling: Any = threading.local()


@contextmanager
def _quiet() -> Iterator[None]:
    # What urllib3 logs of a call holds the URL, and the URL its signature.
    before = getattr(_calling, "on", False)
    _calling.on = True
    try:
        yield
    finally:
        _calling.on = before


def _not_calling(_record: logging.LogRecord) -> bool:
    return not getattr(_calling, "on", False)


for _name in ("connection", "connectionpool", "poolmanager", "util.retry"):
    logging.getLogger(f"urllib3.{_name}").addFilter(_not_calling)
