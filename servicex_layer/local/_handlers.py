"""The answer of each route of the server, with the status of each refusal."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response

from servicex_layer.errors import BackendError
from servicex_layer.local._clock import Clock
from servicex_layer.local._database import APP_VERSION, IMAGE, Database
from servicex_layer.local._middleware import bearer_token
from servicex_layer.local._request import TransformRequest
from servicex_layer.local._result_files import discard
from servicex_layer.local._s3 import S3
from servicex_layer.local._submission import RejectedError, is_list_of_strings, parse_submission
from servicex_layer.local._token_issuer import TokenIssuer
from servicex_layer.local._traffic import Traffic
from servicex_layer.local._url_signer import UrlSigner
from servicex_layer.uproot_raw import CODEGEN

POLL_RESULTS = "poll_local_transformation_results"
GENERATE_URLS = "generate_file_urls"
_PYTHON_3_10_TIME = re.compile(r"\d{4}-\d\d-\d\d(.\d\d(:\d\d(:\d\d(\.\d{6})?)?)?([+-]\d\d:\d\d)?)?")
"""The times that Python 3.10 parses, and so a ServiceX server: no ``Z``, 0 or 6 digits."""
CAPABILITIES = (POLL_RESULTS, GENERATE_URLS, "post_cancel_transform")


class ResultResponse(FileResponse):
    """A result file, sent in larger pieces than the default: each costs a change of threads."""

    chunk_size = 1 << 20


@dataclass(frozen=True)
class Handlers:
    """The handlers, one method per route.

    Parameters
    ----------
    database, clock, tokens, signer, traffic
        The server's parts.
    file_headers
        Headers that a call for a result file must carry.
    capabilities
        The capabilities that the server names; None if it doesn't name any.
    store
        The S3 store of the results; None if the server sends them itself.
    take, drop
        Called in the event loop with each new request, and with each canceled one.
    """

    database: Database
    clock: Clock
    tokens: TokenIssuer
    signer: UrlSigner
    traffic: Traffic
    file_headers: Mapping[str, str]
    capabilities: Sequence[str] | None
    store: S3 | None
    take: Callable[[TransformRequest], None]
    drop: Callable[[TransformRequest], None]

    async def info(self, _call: Request) -> Response:
        """Send the version and the capabilities."""
        info: dict[str, Any] = {"app-version": APP_VERSION, "code-gen-image": {CODEGEN: IMAGE}}
        if self.capabilities is not None:
            info["capabilities"] = self.capabilities
        return JSONResponse(info)

    async def token(self, call: Request) -> Response:
        """Send an access token for a refresh token."""
        self.tokens.verify(bearer_token(call), "refresh")
        return JSONResponse({"access_token": self.tokens.access_token()})

    async def submit(self, call: Request) -> Response:
        """Start a request."""
        body = await call.body()
        fields = _parse_object(body)
        try:
            submission = parse_submission(fields, self.database.take_manual(body))
        except RejectedError as error:
            raise HTTPException(error.status, str(error)) from error
        request = self.database.add(submission)
        if self.store is not None:
            try:
                await run_in_threadpool(self.store.make, request.id)
            except BackendError as error:
                self.database.fail(request, "Fatal", str(error))
                raise HTTPException(503, str(error)) from error
        self.take(request)
        return JSONResponse({"request_id": request.id})

    async def requests(self, _call: Request) -> Response:
        """Send the status of every request."""
        return JSONResponse({"requests": self.database.statuses()})

    async def status(self, call: Request) -> Response:
        """Send the status of a request, known by its id or its number."""
        request_id = call.path_params["request_id"]
        request = self.database.get_by_number(int(request_id)) if request_id.isdecimal() else None
        return JSONResponse(self.database.status(request or self._request(call)))

    async def logs(self, call: Request) -> Response:
        """Send the reasons of failed files as plain text."""
        return PlainTextResponse(self.database.log(self._request(call)))

    async def results(self, call: Request) -> Response:
        """Send the rows of a request; none if it is unknown."""
        later_than = _parse_time(call.query_params.get("later_than"))
        request = self.database.get(call.path_params["request_id"])
        if request is None:
            return JSONResponse({"results": []})
        rows = self.database.rows(request, later_than)
        self.traffic.add_rows(len(rows))
        return JSONResponse({"results": [row.to_json(request.id) for row in rows]})

    async def cancel(self, call: Request) -> Response:
        """Cancel a request."""
        request = self._request(call)
        if not self.database.cancel(request):
            raise HTTPException(400, f"Transform {request.id} has ended: {request.status}")
        self.drop(request)
        return JSONResponse({"message": f"Canceled transform {request.id}"})

    async def delete(self, call: Request) -> Response:
        """Delete a request and its results."""
        request = self._request(call)
        paths = self.database.remove(request)
        if paths is None:
            raise HTTPException(400, f"Transform {request.id} is still in progress")
        await run_in_threadpool(_discard_all, paths)
        if self.store is not None:
            await run_in_threadpool(self.store.remove, request.id)
        return JSONResponse({"message": f"Deleted transform {request.id}"})

    async def file_urls(self, call: Request) -> Response:
        """Sign URLs of results, also of unknown ones, as an object store does."""
        body = _parse_object(await call.body())
        request_id, names = body.get("request_id"), body.get("file_list")
        if not isinstance(request_id, str) or not is_list_of_strings(names):
            raise HTTPException(400, "request_id must be a string, file_list a list of strings")
        if body.get("scheme", "http") != "http":
            raise HTTPException(400, f"The scheme is not supported: {body['scheme']!r}")
        if self.database.get(request_id) is None:
            raise _unknown_request(request_id)
        # in a thread: signing ten thousand URLs would hold up all other calls
        uris = await run_in_threadpool(self._sign, str(call.base_url), request_id, names)
        return JSONResponse({"uris": uris})

    async def dataset(self, call: Request) -> Response:
        """Send the state of a dataset."""
        did_id = call.path_params["did_id"]
        dataset = self.database.dataset(did_id)
        if dataset is None:
            raise HTTPException(404, f"Dataset {did_id} not found")
        return JSONResponse(dataset)

    async def file(self, call: Request) -> Response:
        """Send a result file, or ranges of it."""
        request_id, name = call.path_params["request_id"], call.path_params["name"]
        query = call.query_params
        if not self.signer.is_valid(
            file_path(request_id, name), query.get("expires", ""), query.get("signature", "")
        ):
            raise HTTPException(403, "The URL is not signed, or has expired")
        if any(call.headers.get(key) != value for key, value in self.file_headers.items()):
            raise HTTPException(403, "A header that came with the URL is missing")
        path = self.database.result(request_id, name)
        if path is None:
            raise HTTPException(404, "There is no such result")
        return ResultResponse(path, media_type="application/octet-stream")

    def _request(self, call: Request) -> TransformRequest:
        request_id = call.path_params["request_id"]
        request = self.database.get(request_id)
        if request is None:
            raise _unknown_request(request_id)
        return request

    def _sign(self, base: str, request_id: str, names: list[str]) -> dict[str, list[Any]]:
        uris: dict[str, Any] = {}
        for name in names:
            path, expires = self.signer.sign(file_path(request_id, name))
            uris[name] = [base.rstrip("/") + path, dict(self.file_headers), expires]
        return uris


def file_path(request_id: str, name: str) -> str:
    """Return the path of a result file's URL."""
    return f"/results/{request_id}/{name}"


def _unknown_request(request_id: str) -> HTTPException:
    return HTTPException(404, f"Transformation request not found with id: '{request_id}'")


def _discard_all(paths: list[Path]) -> None:
    for path in paths:
        discard(path)


def _parse_object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError as error:
        raise HTTPException(400, f"The body is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise HTTPException(400, "The body is not a JSON object")
    return value


def _parse_time(text: str | None) -> datetime | None:
    if text is None:
        return None
    if not _PYTHON_3_10_TIME.fullmatch(text):
        raise _bad_time(text)
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise _bad_time(text) from error
    return time if time.tzinfo is None else time.astimezone(UTC).replace(tzinfo=None)


def _bad_time(text: str) -> HTTPException:
    return HTTPException(400, f"later_than is not an ISO time: {text!r}")
