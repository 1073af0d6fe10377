"""One call to a backend: retries and outages."""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, Self

import httpx
import tenacity

from servicex_layer._model import Backend
from servicex_layer.backend._auth import ServiceXAuth
from servicex_layer.errors import BackendError, BackendUnreachableError
from servicex_layer.net import (
    RETRY_STATUSES,
    SYSTEM_CLOCK,
    Clock,
    TransientError,
    http_timeout,
    json_or_none,
    retry_after,
    retry_policy,
    tls_context,
    unlogged,
)

__all__ = ["Connection"]

logger = logging.getLogger(__name__)


class Connection:
    """A connection to one backend that retries each call while its failure is transient.

    Any number of coroutines of one event loop may use it, within `connected`.

    Parameters
    ----------
    backend : Backend
        The backend, with its refresh token.
    retry_timeout : float
        How long a call is retried if the backend has not answered before, in seconds.
    outage_timeout : float, optional
        How long a backend that has answered may be down before calls fail, in seconds; ``None``
        for ever. By default, no longer than `retry_timeout`.
    access_token : str, optional
        The access token to use if ``BEARER_TOKEN_FILE`` is not set.
    clock : Clock, optional
        The clock of pauses and timeouts.
    """

    backend: Backend

    def __init__(
        self,
        backend: Backend,
        retry_timeout: float,
        outage_timeout: float | None = 0.0,
        access_token: str | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.backend = backend
        self._retry_timeout = retry_timeout
        self._outage_timeout = outage_timeout
        self._access_token = access_token
        self._clock = clock
        self._auth = self._new_auth()
        self._http: httpx.AsyncClient | None = None
        self._users = 0
        self._last_answer = self._last_failure = -math.inf

    def __repr__(self) -> str:
        return f"{type(self).__name__}<{self.backend}>"

    def configure(self, retry_timeout: float, outage_timeout: float | None) -> None:
        """Change the timeouts of later calls."""
        self._retry_timeout = retry_timeout
        self._outage_timeout = outage_timeout

    def authorize(self, backend: Backend, access_token: str | None) -> None:
        """Change the tokens of later calls; the same tokens change nothing."""
        if (backend, access_token) != (self.backend, self._access_token):
            self.backend = backend
            self._access_token = access_token
            self._auth = self._new_auth()

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Self]:
        """Keep connections open within this context; contexts may overlap."""
        if self._http is None:
            self._http = _open_client(self.backend.url)
        self._users += 1
        try:
            yield self
        finally:
            self._users -= 1
            if self._users == 0:
                client, self._http = self._http, None
                with unlogged():
                    await client.aclose()

    async def send(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """Send a call with the access token.

        Parameters
        ----------
        method, path : str
            The HTTP method, and the path below the backend's URL.
        **arguments
            Passed to `httpx.AsyncClient.request`.

        Raises
        ------
        AuthorizationError
            If there is no valid token.
        BackendUnreachableError
            If the backend doesn't answer within the timeouts.
        BackendError
            If the backend redirects the call.
        """
        return await self._send(method, path, auth=self._auth, **arguments)

    def _new_auth(self) -> ServiceXAuth:
        return ServiceXAuth(self.backend, self._access_token, self._refresh, self._clock)

    async def _refresh(self) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.backend.token}"}
        return await self._send("POST", "/token/refresh", auth=None, headers=headers)

    async def _send(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        client = self._http
        if client is None:
            raise RuntimeError("a RestClient must be used within its connected()")
        start = self._clock.monotonic()
        timeout = self._call_timeout(start)
        attempts = tenacity.AsyncRetrying(
            **retry_policy(timeout, self._clock.monotonic),
            sleep=self._clock.sleep,
            before_sleep=self._warn_once(start) if timeout > self._retry_timeout else None,
        )
        try:
            return await attempts(self._attempt, client, method, path, arguments)
        except tenacity.RetryError as error:
            self._last_failure = self._clock.monotonic()
            duration = self._last_failure - start
            raise BackendUnreachableError(
                f"The ServiceX backend {self.backend} could not be reached since "
                f"{datetime.now(UTC) - timedelta(seconds=duration):%Y-%m-%d %H:%M:%S} UTC: "
                f"{error.last_attempt.exception()}. Tried {error.last_attempt.attempt_number} "
                f"times in {duration:.1f} s (settings connect-timeout {client.timeout.connect} s, "
                f"read-timeout {client.timeout.read} s, retry-timeout, timeout). Is the endpoint "
                "in servicex.yaml right, and is the backend up?"
            ) from None

    def _call_timeout(self, now: float) -> float:
        """Return how long to retry a call: longer if the backend has answered recently."""
        if now < self._last_failure + self._retry_timeout:
            # Calls that queued behind one that just gave up need not wait as long again.
            return 0.0
        if self._outage_timeout is None and self._last_answer > -math.inf:
            return math.inf
        return max(self._retry_timeout, self._last_answer + (self._outage_timeout or 0.0) - now)

    def _warn_once(self, start: float) -> Callable[[tenacity.RetryCallState], None]:
        """Return a hook that warns when a call takes longer than the retry timeout."""
        warned = False

        def warn(state: tenacity.RetryCallState) -> None:
            nonlocal warned
            duration = self._clock.monotonic() - start
            if warned or state.outcome is None:
                return
            if duration + state.upcoming_sleep > self._retry_timeout:
                warned = True
                logger.warning(
                    "The ServiceX backend %s does not answer: %s. Tried %d times in %.0f s; "
                    "trying again.",
                    self.backend,
                    state.outcome.exception(),
                    state.attempt_number,
                    duration,
                )

        return warn

    async def _attempt(
        self, client: httpx.AsyncClient, method: str, path: str, arguments: dict[str, Any]
    ) -> httpx.Response:
        try:
            with unlogged():
                response = await client.request(method, path, **arguments)
        except httpx.InvalidURL as error:
            raise _invalid_url(self.backend.url, str(error)) from None
        except httpx.UnsupportedProtocol:
            reason = "it must start with http:// or https://"
            raise _invalid_url(self.backend.url, reason) from None
        except (httpx.ProtocolError, httpx.DecodingError) as error:
            # The texts of these errors quote what was sent and received.
            raise TransientError(
                f"the answer was cut or garbled ({type(error).__name__})"
            ) from None
        except httpx.TransportError as error:
            raise TransientError(f"{type(error).__name__} {error}".rstrip()) from error
        if response.is_redirect:
            raise BackendError(
                f"The ServiceX backend {self.backend} answered {method} {path} with "
                f"{response.status_code}: it redirects to {_redirect_origin(response)}. The token "
                "is sent to no other server. If the backend has moved there, put that URL into "
                "your servicex.yaml as endpoint."
            )
        if response.status_code in RETRY_STATUSES and not _is_final(response):
            raise TransientError(
                f"{response.status_code} {response.reason_phrase}", retry_after(response.headers)
            )
        self._last_answer = self._clock.monotonic()
        self._last_failure = -math.inf
        return response


def _open_client(url: str) -> httpx.AsyncClient:
    try:
        return httpx.AsyncClient(base_url=url, timeout=http_timeout(), verify=tls_context())
    except httpx.InvalidURL as error:
        raise _invalid_url(url, str(error)) from None


def _invalid_url(url: str, reason: str) -> BackendUnreachableError:
    return BackendUnreachableError(
        f"{url} is not a valid URL of a ServiceX backend: {reason}. Correct the endpoint in "
        "servicex.yaml."
    )


def _redirect_origin(response: httpx.Response) -> str:
    """Return scheme and host of a redirect: its path may hold a signature."""
    target = response.next_request.url if response.next_request is not None else None
    return "nowhere" if target is None else f"{target.scheme}://{target.netloc.decode()}"


def _is_final(response: httpx.Response) -> bool:
    # ServiceX answers 500 with a message to a request that it can't serve, such as an unknown
    # code generator. The 500 of a proxy or of a crash has none.
    if response.status_code != HTTPStatus.INTERNAL_SERVER_ERROR:
        return False
    answer = json_or_none(response)
    return isinstance(answer, dict) and "message" in answer
