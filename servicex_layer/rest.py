"""The REST calls to a ServiceX backend, and the token they carry."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import httpx
import tenacity

from servicex_layer.errors import (
    AuthorizationError,
    BackendError,
    BackendUnreachableError,
    ProtocolError,
    UnknownRequestError,
)
from servicex_layer.http_calls import (
    PASSING,
    PassingError,
    http_timeout,
    parsed,
    policy,
    retry_after,
    tls,
)
from servicex_layer.model import Backend, Location, Row, TransformStatus
from servicex_layer.tokens import Authorization

__all__ = ["RestClient"]

_TRANSFORMATION = "/servicex/transformation"


class RestClient:
    """The calls to one backend, each tried again while its failure may pass.

    All methods may be used by any number of coroutines of one event loop, within `connected`.

    Parameters
    ----------
    backend : Backend
        Where, and with which refresh token.
    patience : float
        How long one call is tried again, in seconds.
    """

    backend: Backend
    _authorization: Authorization
    _patience: float
    _http: httpx.AsyncClient | None
    _users: int
    _clock_lead: timedelta

    def __init__(self, backend: Backend, patience: float) -> None:
        self.backend = backend
        self._authorization = Authorization(backend)
        self._patience = patience
        self._http = None
        self._users = 0
        self._clock_lead = timedelta(0)

    def __repr__(self) -> str:
        return f"RestClient<{self.backend.name} {self.backend.url}>"

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[RestClient]:
        """Keep connections open within this context; contexts may overlap."""
        if self._http is None:
            self._http = httpx.AsyncClient(
                base_url=self.backend.url, timeout=http_timeout(), verify=tls()
            )
        self._users += 1
        try:
            yield self
        finally:
            self._users -= 1
            if self._users == 0:
                client, self._http = self._http, None
                await client.aclose()

    def server_time(self) -> datetime:
        """Tell the time by the server's clock, as its last answer gave it (UTC); never ahead."""
        return datetime.now(UTC) + self._clock_lead

    async def capabilities(self) -> frozenset[str]:
        """Tell what the server can do; a server of 2024 names no capability at all."""
        info = await self._json("GET", "/servicex")
        return frozenset(map(str, info.get("capabilities") or ()))

    async def status(self, request_id: str) -> TransformStatus:
        """Ask for the state of a request."""
        return TransformStatus.from_json(
            await self._json("GET", f"{_TRANSFORMATION}/{request_id}", request_id=request_id)
        )

    async def results(self, request_id: str, later_than: datetime | None = None) -> list[Row]:
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
            f"{_TRANSFORMATION}/{request_id}/results",
            params=params,
            request_id=request_id,
        )
        rows = answer.get("results")
        if not isinstance(rows, list):
            raise ProtocolError(f"{self._who} sent results that are no list of rows.")
        return [Row.from_json(row) for row in rows]

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
            return {
                str(name): Location(str(url), dict(headers or {}), float(expires))
                for name, (url, headers, expires) in uris.items()
            }
        except (TypeError, ValueError):
            raise ProtocolError(
                f"{self._who} sent uris that are no lists of URL, headers and expiry."
            ) from None

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
        answer = parsed(response)
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
        """Send until something else than a passing failure comes back, or patience ends."""
        client = self._http
        if client is None:
            raise RuntimeError("a RestClient is used within its connected()")
        attempts = tenacity.AsyncRetrying(**policy(self._patience))
        start = time.monotonic()
        try:
            return await attempts(self._attempt, client, method, path, arguments)
        except tenacity.RetryError as error:
            last = error.last_attempt.exception()
            raise BackendUnreachableError(
                f"{self._who} could not be reached: {last}. Tried "
                f"{error.last_attempt.attempt_number} times in {time.monotonic() - start:.1f} s "
                f"(settings connect-timeout {client.timeout.connect} s, read-timeout "
                f"{client.timeout.read} s). Is the endpoint in servicex.yaml right, and is the "
                "backend up?"
            ) from None

    async def _attempt(
        self, client: httpx.AsyncClient, method: str, path: str, arguments: dict[str, Any]
    ) -> httpx.Response:
        try:
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
        except httpx.TransportError as error:
            raise PassingError(f"{type(error).__name__} {error}".rstrip()) from error
        self._note_clock(response)
        if response.status_code in PASSING and not _is_final(response):
            raise PassingError(
                f"{response.status_code} {response.reason_phrase}", retry_after(response.headers)
            )
        return response

    def _note_clock(self, response: httpx.Response) -> None:
        # The header is older than its arrival, and cut to whole seconds: never ahead.
        try:
            date = parsedate_to_datetime(response.headers["Date"])
        except (KeyError, ValueError):
            return
        self._clock_lead = date - datetime.now(UTC)


def _is_final(response: httpx.Response) -> bool:
    # ServiceX itself answers 500 with a message to a request that it cannot serve, such as an
    # unknown code generator; a 500 of a proxy or a crash has none.
    if response.status_code != HTTPStatus.INTERNAL_SERVER_ERROR:
        return False
    answer = parsed(response)
    return isinstance(answer, dict) and "message" in answer


def _message(response: httpx.Response) -> str:
    answer = parsed(response)
    if isinstance(answer, dict) and "message" in answer:
        return str(answer["message"])
    return response.reason_phrase or "no message"
