"""The REST calls to a ServiceX backend, and the token they carry."""

from __future__ import annotations

import contextvars
import logging
import math
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx
import tenacity

from servicex_layer._model import Backend, Location, ResultRow, TransformStatus, is_sendable
from servicex_layer.backend._auth import Authorization
from servicex_layer.errors import (
    AuthorizationError,
    BackendError,
    BackendUnreachableError,
    ProtocolError,
    UnknownRequestError,
)
from servicex_layer.net import (
    RETRY_STATUSES,
    TransientError,
    check_url,
    http_timeout,
    json_or_none,
    retry_after,
    retry_policy,
    tls_context,
)

__all__ = ["RestClient"]

logger = logging.getLogger(__name__)

_TRANSFORMATION = "/servicex/transformation"


class RestClient:
    """The calls to one backend, each tried again while its failure may pass.

    All methods may be used by any number of coroutines of one event loop, within `connected`.

    Parameters
    ----------
    backend : Backend
        Where, and with which refresh token.
    retry_timeout : float
        How long one call is tried again, in seconds, where the backend has not answered before.
    outage_timeout : float, optional
        How long a backend that has answered may be down before calls fail, in seconds; ``None``
        for as long as it takes. By default no longer than `retry_timeout`.
    access_token : str, optional
        An access token; see `Authorization`.
    """

    backend: Backend
    _retry_timeout: float
    _outage_timeout: float | None
    _access_token: str | None
    _authorization: Authorization
    _http: httpx.AsyncClient | None
    _users: int
    _clock_lead: timedelta
    _answered: float
    _given_up: float

    def __init__(
        self,
        backend: Backend,
        retry_timeout: float,
        outage_timeout: float | None = 0.0,
        access_token: str | None = None,
    ) -> None:
        self.backend = backend
        self._retry_timeout = retry_timeout
        self._outage_timeout = outage_timeout
        self._access_token = access_token
        self._authorization = Authorization(backend, access_token)
        self._http = None
        self._users = 0
        self._clock_lead = timedelta(0)
        self._answered = self._given_up = -math.inf

    def __repr__(self) -> str:
        return f"RestClient<{self.backend.name} {self.backend.url}>"

    def configure(self, retry_timeout: float, outage_timeout: float | None) -> None:
        """Go on with other bounds."""
        self._retry_timeout = retry_timeout
        self._outage_timeout = outage_timeout

    def authorize(self, backend: Backend, access_token: str | None) -> None:
        """Go on with other tokens for the same backend; with the same ones nothing changes."""
        if (backend, access_token) != (self.backend, self._access_token):
            self.backend = backend
            self._access_token = access_token
            self._authorization = Authorization(backend, access_token)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[RestClient]:
        """Keep connections open within this context; contexts may overlap."""
        if self._http is None:
            self._http = httpx.AsyncClient(
                base_url=self.backend.url, timeout=http_timeout(), verify=tls_context()
            )
        self._users += 1
        try:
            yield self
        finally:
            self._users -= 1
            if self._users == 0:
                client, self._http = self._http, None
                with _unlogged():
                    await client.aclose()

    def server_time(self) -> datetime:
        """Tell the time by the server's clock, as its last answer gave it (UTC); never ahead."""
        return datetime.now(UTC) + self._clock_lead

    async def capabilities(self) -> frozenset[str]:
        """Tell what the server can do; a server of 2024 names no capability at all."""
        info = await self._json("GET", "/servicex")
        named = info.get("capabilities") or ()
        if not isinstance(named, list | tuple):
            raise ProtocolError(f"{self._who} names capabilities that are no list.")
        return frozenset(map(str, named))

    async def status(self, request_id: str) -> TransformStatus:
        """Ask for the state of a request; of a bad dataset also what is wrong with it."""
        status = TransformStatus.from_json(
            await self._json("GET", _path(request_id), request_id=request_id)
        )
        if status.request_id != request_id:
            raise ProtocolError(
                f"{self._who} was asked for request {request_id} and told of {status.request_id}."
            )
        if status.status == "Bad Dataset" and status.did_id is not None:
            status = replace(status, lookup=await self._lookup_status(status.did_id))
        return status

    async def results(self, request_id: str, later_than: datetime | None = None) -> list[ResultRow]:
        """Ask for the rows of finished and failed files, in no particular order.

        Parameters
        ----------
        request_id : str
            The request.
        later_than : datetime.datetime, optional
            Only rows whose ``created_at`` is later.
        """
        # The server compares with a time without a zone.
        params = {}
        if later_than is not None:
            params["later_than"] = later_than.replace(tzinfo=None).isoformat()
        answer = await self._json(
            "GET",
            f"{_path(request_id)}/results",
            params=params,
            request_id=request_id,
        )
        rows = answer.get("results")
        if not isinstance(rows, list):
            raise ProtocolError(f"{self._who} sent results that are no list of rows.")
        found = [ResultRow.from_json(row) for row in rows]
        if any(row.get("request-id", request_id) != request_id for row in rows):
            raise ProtocolError(f"{self._who} sent results of another request than {request_id}.")
        return found

    async def file_urls(self, request_id: str, names: Sequence[str]) -> dict[str, Location]:
        """Ask for URLs of results, signed for a while; names unknown to the store may be left out.

        Parameters
        ----------
        request_id : str
            The request.
        names : sequence of str
            The results' names in the object store.
        """
        answer = await self._json(
            "POST",
            f"{_TRANSFORMATION}/file-urls",
            body={"request_id": request_id, "file_list": list(names), "scheme": "http"},
            request_id=request_id,
        )
        uris = answer.get("uris")
        if not isinstance(uris, Mapping):
            raise ProtocolError(f"{self._who} sent file-urls without uris.")
        try:
            locations = {
                str(name): Location(str(url), _headers(headers), float(expires))
                for name, (url, headers, expires) in uris.items()
            }
        except (OverflowError, TypeError, ValueError):
            raise ProtocolError(
                f"{self._who} sent uris that are no lists of URL, headers and expiry."
            ) from None
        for name, location in locations.items():
            check_url(location.url, self.backend.url, f"result {name!r} of request {request_id}")
        return locations

    async def _lookup_status(self, did_id: int) -> str:
        try:
            dataset = await self._json("GET", f"/servicex/datasets/{did_id}")
        except BackendError:
            # It only explains an error that is told in any case.
            return ""
        return str(dataset.get("lookup_status") or "")

    @property
    def _who(self) -> str:
        return f"The ServiceX backend {self.backend.name} at {self.backend.url}"

    async def _json(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, str] | None = None,
        request_id: str | None = None,
    ) -> dict[str, Any]:
        response = await self._answer(method, path, body, params)
        if response.status_code == HTTPStatus.NOT_FOUND and request_id is not None:
            raise UnknownRequestError(
                f"{self._who} does not know the request {request_id!r} ({_message(response)}). "
                "Is it mistyped, deleted, or one of another backend?"
            )
        if response.is_error:
            raise BackendError(
                f"{self._who} answered {method} {path} with {response.status_code}: "
                f"{_message(response)}"
            )
        answer = json_or_none(response)
        if not isinstance(answer, dict):
            raise ProtocolError(
                f"{self._who} answered {method} {path} with something that is no JSON object. "
                "Is the endpoint in servicex.yaml really a ServiceX server?"
            )
        return answer

    async def _answer(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        params: Mapping[str, str] | None,
    ) -> httpx.Response:
        rejected = None
        while True:
            token = await self._authorization.token(self._attempts, rejected)
            headers = {} if token is None else {"Authorization": f"Bearer {token}"}
            response = await self._attempts(method, path, json=body, params=params, headers=headers)
            if response.status_code == HTTPStatus.UNAUTHORIZED and rejected is None:
                # Tokens can end before their time: renew, once.
                rejected = token or ""
                continue
            if response.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
                raise AuthorizationError(
                    f"{self._who} does not allow {method} {path} ({response.status_code}: "
                    f"{_message(response)}). Get a new token from its web page and put it into "
                    "your servicex.yaml."
                )
            return response

    async def _attempts(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """Send until something else than a passing failure comes back, or retry_timeout ends."""
        client = self._http
        if client is None:
            raise RuntimeError("a RestClient is used within its connected()")
        start = time.monotonic()
        budget = self._budget(start)
        warn = self._warn if budget > self._retry_timeout else None
        attempts = tenacity.AsyncRetrying(**retry_policy(budget), before_sleep=warn)
        try:
            return await attempts(self._attempt, client, method, path, arguments)
        except tenacity.RetryError as error:
            self._given_up = time.monotonic()
            last = error.last_attempt.exception()
            raise BackendUnreachableError(
                f"{self._who} could not be reached since {_utc(start)}: {last}. Tried "
                f"{error.last_attempt.attempt_number} times in {self._given_up - start:.1f} s "
                f"(settings connect-timeout {client.timeout.connect} s, read-timeout "
                f"{client.timeout.read} s, retry-timeout, timeout). Is the endpoint in "
                "servicex.yaml right, and is the backend up?"
            ) from None

    def _budget(self, now: float) -> float:
        """Tell how long a call may be tried again: longer where the backend was there just now."""
        if now < self._given_up + self._retry_timeout:
            # The others that waited for what failed just now need not wait as long again.
            return 0.0
        if self._outage_timeout is None and self._answered > -math.inf:
            return math.inf
        return max(self._retry_timeout, self._answered + (self._outage_timeout or 0.0) - now)

    def _warn(self, state: tenacity.RetryCallState) -> None:
        """Say once for each call that it takes long."""
        waited = state.seconds_since_start or 0.0
        pause = state.upcoming_sleep
        if waited <= self._retry_timeout < waited + pause and state.outcome is not None:
            logger.warning(
                "%s does not answer: %s. Tried %d times in %.0f s; going on.",
                self._who,
                state.outcome.exception(),
                state.attempt_number,
                waited,
            )

    async def _attempt(
        self, client: httpx.AsyncClient, method: str, path: str, arguments: dict[str, Any]
    ) -> httpx.Response:
        try:
            with _unlogged():
                response = await client.request(method, path, **arguments)
        except httpx.InvalidURL as error:
            raise BackendUnreachableError(
                f"{client.base_url} is no URL of a ServiceX backend: {error}."
            ) from None
        except httpx.UnsupportedProtocol:
            raise BackendUnreachableError(
                f"{client.base_url} is no URL of a ServiceX backend: it starts neither with "
                "http:// nor with https://."
            ) from None
        except (httpx.ProtocolError, httpx.DecodingError) as error:
            # Their texts quote what was sent and received.
            raise TransientError(
                f"the answer was cut or garbled ({type(error).__name__})"
            ) from None
        except httpx.TransportError as error:
            raise TransientError(f"{type(error).__name__} {error}".rstrip()) from error
        if response.is_redirect:
            raise BackendError(
                f"{self._who} answered {method} {path} with {response.status_code}: it redirects "
                f"to {_origin(response)}. The token is not carried elsewhere. If that is where the "
                "backend is now, put it into your servicex.yaml as endpoint."
            )
        self._note_clock(response)
        if response.status_code in RETRY_STATUSES and not _is_final(response):
            raise TransientError(
                f"{response.status_code} {response.reason_phrase}", retry_after(response.headers)
            )
        self._answered = time.monotonic()
        self._given_up = -math.inf
        return response

    def _note_clock(self, response: httpx.Response) -> None:
        # The header is older than its arrival, and cut to whole seconds: never ahead.
        try:
            date = parsedate_to_datetime(response.headers["Date"])
            self._clock_lead = date - datetime.now(UTC)
        except (KeyError, OverflowError, TypeError, ValueError):
            return


def _headers(value: object) -> dict[str, str]:
    headers: dict[str, str] = dict(value or {})  # type: ignore[call-overload]
    if not all(is_sendable(text) for text in (*headers, *headers.values())):
        raise ValueError("a header that cannot be sent")
    return headers


def _path(request_id: str) -> str:
    return f"{_TRANSFORMATION}/{quote(request_id, safe='')}"


def _utc(monotonic: float) -> str:
    moment = datetime.now(UTC) - timedelta(seconds=time.monotonic() - monotonic)
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _origin(response: httpx.Response) -> str:
    """Tell where a redirect leads, without what may be signed in it."""
    target = response.next_request.url if response.next_request is not None else None
    return "nowhere" if target is None else f"{target.scheme}://{target.netloc.decode()}"


def _is_final(response: httpx.Response) -> bool:
    # ServiceX itself answers 500 with a message to a request that it cannot serve, such as an
    # unknown code generator; a 500 of a proxy or a crash has none.
    if response.status_code != HTTPStatus.INTERNAL_SERVER_ERROR:
        return False
    answer = json_or_none(response)
    return isinstance(answer, dict) and "message" in answer


def _message(response: httpx.Response) -> str:
    answer = json_or_none(response)
    if isinstance(answer, dict) and "message" in answer:
        return str(answer["message"])
    return response.reason_phrase or "no message"


_calling = contextvars.ContextVar("_calling", default=False)


@contextmanager
def _unlogged() -> Iterator[None]:
    token = _calling.set(True)
    try:
        yield
    finally:
        _calling.reset(token)


def _not_calling(_record: logging.LogRecord) -> bool:
    return not _calling.get()


# A line for each poll, and at DEBUG the headers of each answer. The user's own calls stay logged.
for _name in ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy"):
    logging.getLogger(_name).addFilter(_not_calling)
