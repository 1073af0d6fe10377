"""The REST API of a ServiceX backend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx

from servicex_layer._model import Backend, Location, ResultRow, TransformStatus, is_sendable
from servicex_layer.backend._auth import is_rejection
from servicex_layer.backend._connection import Connection
from servicex_layer.errors import (
    AuthorizationError,
    BackendError,
    BackendUnreachableError,
    ProtocolError,
    UnknownRequestError,
)
from servicex_layer.net import SYSTEM_CLOCK, Clock, check_url, json_or_none

__all__ = ["RestClient"]

_TRANSFORMATION = "/servicex/transformation"
# How many requests a client remembers the end of the lookup of.
_REMEMBERED_REQUESTS = 1000


class RestClient(Connection):
    """A connection to one backend, with a method for each call that this package makes.

    Parameters are those of `Connection`. Every method may raise a `BackendError`: see
    `Connection.send`. A `ProtocolError` is raised if an answer is not that of a ServiceX server.
    """

    def __init__(
        self,
        backend: Backend,
        retry_timeout: float,
        outage_timeout: float | None = 0.0,
        access_token: str | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        super().__init__(backend, retry_timeout, outage_timeout, access_token, clock)
        # Requests whose lookup is known to have ended, the latest last.
        self._looked_up: dict[str, None] = {}

    async def capabilities(self) -> frozenset[str]:
        """Return the names of the server's capabilities; a server of 2024 has none."""
        info = await self._json("GET", "/servicex")
        names = info.get("capabilities") or ()
        if not isinstance(names, list | tuple):
            raise ProtocolError(f"{self._subject} sent capabilities that are not a list.")
        return frozenset(map(str, names))

    async def status(self, request_id: str) -> TransformStatus:
        """Return the status of a request; for a bad dataset, with the reason.

        Raises
        ------
        UnknownRequestError
            If the backend does not know the request.
        ProtocolError
            If the request is ``Complete`` without all files of its dataset.
        """
        status = TransformStatus.from_json(
            await self._json("GET", _path(request_id), request_id=request_id)
        )
        if status.request_id != request_id:
            raise ProtocolError(
                f"{self._subject} was asked for request {request_id} and answered with "
                f"{status.request_id}."
            )
        if status.status == "Bad Dataset" and status.did_id is not None:
            status = replace(status, lookup=await self._lookup_status(status.did_id))
        if status.status == "Complete" and request_id not in self._looked_up:
            await self._check_all_files_transformed(status)
        if status.status in ("Running", "Complete"):
            self._remember_looked_up(request_id)
        return status

    async def selection(self, request_id: str) -> str:
        """Return the query of a request, as it was submitted.

        Raises
        ------
        UnknownRequestError
            If the backend does not know the request.
        """
        answer = await self._json("GET", _path(request_id), request_id=request_id)
        return str(answer.get("selection") or "")

    async def statuses(self) -> list[TransformStatus]:
        """Return the status of every request that the backend shows to this user."""
        answer = await self._json("GET", _TRANSFORMATION)
        requests = answer.get("requests")
        if not isinstance(requests, list):
            raise ProtocolError(f"{self._subject} sent requests that are not a list.")
        return [TransformStatus.from_json(status) for status in requests]

    async def cancel(self, request_id: str) -> TransformStatus:
        """Cancel a request and return its status afterwards; an ended request stays as it is.

        Raises
        ------
        UnknownRequestError
            If the backend does not know the request.
        BackendError
            If the backend refuses to cancel a running request.
        """
        path = f"{_path(request_id)}/cancel"
        # Every server takes GET, newer ones POST as well.
        response = await self.send("GET", path)
        self._check_allowed("GET", path, response)
        # A refusal can mean that the request has ended, that it is unknown, or that Kubernetes
        # failed. The status tells them apart.
        status = await self.status(request_id)
        if response.is_error and not status.is_terminal:
            raise BackendError(
                f"{self._subject} did not cancel request {request_id} ({response.status_code}: "
                f"{_message(response)}). It is {status.status}. Try again."
            )
        return status

    async def log(self, status: TransformStatus) -> str | None:
        """Return the text of a request's log if the backend itself serves it, else ``None``.

        Most backends keep their logs on another server, which only a browser can read.
        """
        if status.log_url is None or not status.log_url.startswith(f"{self.backend.url}/"):
            return None
        response = await self.send("GET", status.log_url.removeprefix(self.backend.url))
        is_text = response.headers.get("Content-Type", "").startswith("text/plain")
        return response.text if response.is_success and is_text else None

    async def results(self, request_id: str, later_than: datetime | None = None) -> list[ResultRow]:
        """Return the rows of finished and failed files, in no particular order.

        Parameters
        ----------
        request_id : str
            The request.
        later_than : datetime.datetime, optional
            Return only rows whose ``created_at`` is later.
        """
        params = {}
        if later_than is not None:
            # The server compares it with times that have no zone.
            params["later_than"] = later_than.replace(tzinfo=None).isoformat()
        answer = await self._json(
            "GET", f"{_path(request_id)}/results", params=params, request_id=request_id
        )
        rows = answer.get("results")
        if not isinstance(rows, list):
            raise ProtocolError(f"{self._subject} sent results that are not a list.")
        parsed = [ResultRow.from_json(row) for row in rows]
        if any(row.get("request-id", request_id) != request_id for row in rows):
            raise ProtocolError(
                f"{self._subject} sent results of another request than {request_id}."
            )
        return parsed

    async def file_urls(self, request_id: str, names: Sequence[str]) -> dict[str, Location]:
        """Return signed URLs of results; a name that the store does not have may be left out.

        Parameters
        ----------
        request_id : str
            The request.
        names : sequence of str
            Names in the object store.
        """
        answer = await self._json(
            "POST",
            f"{_TRANSFORMATION}/file-urls",
            body={"request_id": request_id, "file_list": list(names), "scheme": "http"},
            request_id=request_id,
        )
        uris = answer.get("uris")
        if not isinstance(uris, Mapping):
            raise ProtocolError(f"{self._subject} sent file-urls without uris.")
        try:
            locations = {
                str(name): Location(str(url), _headers(headers), float(expires))
                for name, (url, headers, expires) in uris.items()
            }
        except (OverflowError, TypeError, ValueError):
            raise ProtocolError(
                f"{self._subject} sent uris that are not lists of URL, headers and expiry."
            ) from None
        for name, location in locations.items():
            check_url(location.url, self.backend.url, f"result {name!r} of request {request_id}")
        return locations

    def _remember_looked_up(self, request_id: str) -> None:
        self._looked_up.pop(request_id, None)
        self._looked_up[request_id] = None
        # A request that is dropped costs one more call if its status is fetched again.
        while len(self._looked_up) > _REMEMBERED_REQUESTS:
            del self._looked_up[next(iter(self._looked_up))]

    async def _lookup_status(self, did_id: int) -> str:
        try:
            dataset = await self._dataset(did_id)
        except BackendError:
            # It only adds the reason to an error that is raised in any case.
            return ""
        return str(dataset.get("lookup_status") or "")

    async def _check_all_files_transformed(self, status: TransformStatus) -> None:
        """Check that the dataset has no more files than a complete request.

        Servers of 2024 and 2025 complete a request too early if its first files are transformed
        before the lookup of its dataset ends. They never transform the other files.
        """
        if status.did_id is None:
            return
        try:
            dataset = await self._dataset(status.did_id)
        except BackendUnreachableError:
            raise
        except BackendError:
            # Not every server has this call.
            return
        files = dataset.get("n_files")
        is_looking = dataset.get("lookup_status") in ("created", "looking")
        if is_looking or (isinstance(files, int) and files > status.files):
            reason = "is still being looked up" if is_looking else f"has {files}"
            raise ProtocolError(
                f"{self._subject} ended request {status.request_id} too early: it is Complete with "
                f"{status.files} files, but its dataset {reason}. The other files are never "
                "transformed. Submit the request again."
            )

    async def _dataset(self, did_id: int) -> dict[str, Any]:
        return await self._json("GET", f"/servicex/datasets/{did_id}")

    @property
    def _subject(self) -> str:
        return f"The ServiceX backend {self.backend}"

    async def _json(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, str] | None = None,
        request_id: str | None = None,
    ) -> dict[str, Any]:
        response = await self.send(method, path, json=body, params=params)
        self._check_allowed(method, path, response)
        if response.status_code == HTTPStatus.NOT_FOUND and request_id is not None:
            raise UnknownRequestError(
                f"{self._subject} does not know the request {request_id!r} "
                f"({_message(response)}). Is it mistyped, deleted, or a request of another backend?"
            )
        if response.is_error:
            raise BackendError(
                f"{self._subject} answered {method} {path} with {response.status_code}: "
                f"{_message(response)}"
            )
        answer = json_or_none(response)
        if not isinstance(answer, dict):
            raise ProtocolError(
                f"{self._subject} answered {method} {path} with no JSON object. Is the endpoint "
                "in servicex.yaml really a ServiceX server?"
            )
        return answer

    def _check_allowed(self, method: str, path: str, response: httpx.Response) -> None:
        if is_rejection(response) or response.status_code == HTTPStatus.FORBIDDEN:
            raise AuthorizationError(
                f"{self._subject} does not allow {method} {path} ({response.status_code}: "
                f"{_message(response)}). Get a new token from its web page and put it into your "
                "servicex.yaml."
            )


def _headers(value: object) -> dict[str, str]:
    headers: dict[str, str] = dict(value or {})  # type: ignore[call-overload]
    if not all(is_sendable(text) for text in (*headers, *headers.values())):
        raise ValueError("a header that can't be sent")
    return headers


def _path(request_id: str) -> str:
    return f"{_TRANSFORMATION}/{quote(request_id, safe='')}"


def _message(response: httpx.Response) -> str:
    answer = json_or_none(response)
    if isinstance(answer, dict):
        # ServiceX says "message", its library for tokens "msg".
        for key in ("message", "msg"):
            if key in answer:
                return str(answer[key])
    return response.reason_phrase or "no message"
