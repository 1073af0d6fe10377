"""The HTTP application."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import formatdate
from pathlib import Path
from typing import Any, TypeGuard, cast

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request as Call
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from servicex_layer.errors import BackendError, InvalidArgumentError
from servicex_layer.local._book import APP_VERSION, IMAGE, Book, Request, Submission
from servicex_layer.local._clock import Clock
from servicex_layer.local._disturbed import Disturbances, Disturbed, HangUp
from servicex_layer.local._s3 import S3
from servicex_layer.local._tokens import Signer, Tokens
from servicex_layer.local._traffic import FileCall, Traffic
from servicex_layer.uproot_raw import CODEGEN, RESULT_FORMATS, parse_selection

LISTS = "poll_local_transformation_results"
SIGNS = "generate_file_urls"
CAPABILITIES = (LISTS, SIGNS, "post_cancel_transform")
_DESTINATIONS = ("object-store", "volume")
_TRANSFORMATION = "/servicex/transformation"


class ResultResponse(FileResponse):
    """A result file; in larger pieces than the default, as each costs a change of threads."""

    chunk_size = 1 << 20


@dataclass(frozen=True)
class Api:
    """The handlers of the routes, one method each.

    Parameters
    ----------
    take, drop
        Are called in the event loop with each new request, and with each that is canceled.
    file_headers
        Headers that a call for a result file must carry.
    capabilities
        What the server says that it can do; None is a server that says nothing of this.
    store
        Where results are put, if not here.
    """

    book: Book
    clock: Clock
    tokens: Tokens
    signer: Signer
    traffic: Traffic
    file_headers: Mapping[str, str]
    capabilities: Sequence[str] | None
    store: S3 | None
    take: Callable[[Request], None]
    drop: Callable[[Request], None]

    async def info(self, _call: Call) -> Response:
        """Tell what this server is and can do."""
        info: dict[str, Any] = {"app-version": APP_VERSION, "code-gen-image": {CODEGEN: IMAGE}}
        if self.capabilities is not None:
            info["capabilities"] = self.capabilities
        return JSONResponse(info)

    async def token(self, call: Call) -> Response:
        """Give an access token for a refresh token."""
        if not self.tokens.is_good(_bearer(call), "refresh"):
            raise HTTPException(401, "The refresh token is not one of this server's")
        return JSONResponse({"access_token": self.tokens.access_token()})

    async def submit(self, call: Call) -> Response:
        """Start a request."""
        body = await call.body()
        submission = _parse_submission(_parse_object(body), self.book.take_manual(body))
        request = self.book.add(submission)
        if self.store is not None:
            try:
                await run_in_threadpool(self.store.make, request.id)
            except BackendError as error:
                self.book.fail(request, "Fatal", str(error))
                raise HTTPException(503, str(error)) from error
        self.take(request)
        return JSONResponse({"request_id": request.id})

    async def requests(self, _call: Call) -> Response:
        """Tell the status of every request."""
        return JSONResponse({"requests": self.book.statuses()})

    async def status(self, call: Call) -> Response:
        """Tell the status of a request."""
        return JSONResponse(self.book.status(self._request(call)))

    async def results(self, call: Call) -> Response:
        """Tell the rows of a request; none where it is unknown."""
        later_than = _parse_time(call.query_params.get("later_than"))
        request = self.book.get(call.path_params["request_id"])
        if request is None:
            return JSONResponse({"results": []})
        rows = self.book.rows(request, later_than)
        self.traffic.add_rows(len(rows))
        return JSONResponse({"results": [row.to_json(request.id) for row in rows]})

    async def cancel(self, call: Call) -> Response:
        """Cancel a request."""
        request = self._request(call)
        if not self.book.cancel(request):
            raise HTTPException(400, f"Transform {request.id} is over: {request.status}")
        self.drop(request)
        return JSONResponse({"message": f"Canceled transform {request.id}"})

    async def delete(self, call: Call) -> Response:
        """Forget a request and its results."""
        request = self._request(call)
        paths = self.book.remove(request)
        self.drop(request)
        await run_in_threadpool(_unlink, paths)
        if self.store is not None:
            await run_in_threadpool(self.store.remove, request.id)
        return JSONResponse({"message": f"Deleted transform {request.id}"})

    async def file_urls(self, call: Call) -> Response:
        """Sign URLs of results; as with an object store, also of such as do not exist."""
        asked = _parse_object(await call.body())
        request_id, names = asked.get("request_id"), asked.get("file_list")
        if not isinstance(request_id, str) or not _is_strings(names):
            raise HTTPException(400, "request_id must be a string, file_list a list of strings")
        if asked.get("scheme", "http") != "http":
            raise HTTPException(400, f"The scheme is not supported: {asked['scheme']!r}")
        if self.book.get(request_id) is None:
            raise _unknown(request_id)
        # a URL costs little, a list of ten thousand would still hold up all other calls
        uris = await run_in_threadpool(self._sign, str(call.base_url), request_id, names)
        return JSONResponse({"uris": uris})

    async def dataset(self, call: Call) -> Response:
        """Tell what is known of a dataset."""
        did_id = call.path_params["did_id"]
        dataset = self.book.dataset(did_id)
        if dataset is None:
            raise HTTPException(404, f"Dataset {did_id} not found")
        return JSONResponse(dataset)

    async def file(self, call: Call) -> Response:
        """Send a result file, or ranges of it."""
        request_id, name = call.path_params["request_id"], call.path_params["name"]
        query = call.query_params
        if not self.signer.is_good(
            _file_path(request_id, name), query.get("expires", ""), query.get("signature", "")
        ):
            raise HTTPException(403, "The URL is not signed, or has expired")
        if any(call.headers.get(key) != value for key, value in self.file_headers.items()):
            raise HTTPException(403, "A header that came with the URL is missing")
        path = self.book.result(request_id, name)
        if path is None:
            raise HTTPException(404, "There is no such result")
        return ResultResponse(path, media_type="application/octet-stream")

    def _request(self, call: Call) -> Request:
        request_id = call.path_params["request_id"]
        request = self.book.get(request_id)
        if request is None:
            raise _unknown(request_id)
        return request

    def _sign(self, base: str, request_id: str, names: list[str]) -> dict[str, list[Any]]:
        uris: dict[str, Any] = {}
        for name in names:
            path, expires = self.signer.sign(_file_path(request_id, name))
            uris[name] = [base.rstrip("/") + path, dict(self.file_headers), expires]
        return uris


@dataclass(frozen=True)
class Gate:
    """What each call of a route passes first: the place where calls are counted."""

    app: ASGIApp
    route: str
    traffic: Traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count the call, and for result files the bytes."""
        self.traffic.add_call(self.route)
        if self.route != "file":
            await self.app(scope, receive, send)
            return
        call = Call(scope)
        name, asked = call.path_params["name"], call.headers.get("range")
        self.traffic.add_file(FileCall(call.method, name, asked))
        good = False

        async def send_counted(message: Message) -> None:
            nonlocal good
            if message["type"] == "http.response.start":
                good = message["status"] in {200, 206}
            elif good:  # counted first: who has the answer finds it counted
                self.traffic.add_bytes(len(message["body"]))
            await send(message)

        await self.app(scope, receive, send_counted)


@dataclass(frozen=True)
class Authorization:
    """Lets through who brings a good access token."""

    app: ASGIApp
    tokens: Tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401 to all others."""
        if not self.tokens.is_good(_bearer(Call(scope)), "access"):
            raise HTTPException(401, "There is no valid access token in the call")
        await self.app(scope, receive, send)


@dataclass(frozen=True)
class ServerDate:
    """Dates every response by the server's clock."""

    app: ASGIApp
    clock: Clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Set the ``Date`` header."""

        async def send_dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["date"] = formatdate(self.clock.seconds(), usegmt=True)
            await send(message)

        await self.app(scope, receive, send_dated)


def build_app(
    api: Api,
    *,
    authentication: bool,
    disturbances: Disturbances,
    hang_up: HangUp,
) -> Starlette:
    """Build the application; with ``authentication``, most calls need an access token."""

    def route(
        name: str,
        path: str,
        handler: Callable[[Call], Any],
        *methods: str,
        public: bool = False,
    ) -> Route:
        gates = [
            Middleware(Gate, route=name, traffic=api.traffic),
            Middleware(Disturbed, route=name, disturbances=disturbances, hang_up=hang_up),
        ]
        if authentication and not public:
            gates.append(Middleware(Authorization, tokens=api.tokens))
        return Route(path, handler, methods=methods, name=name, middleware=gates)

    one = _TRANSFORMATION + "/{request_id}"
    can = api.capabilities or ()
    lists = route("results", f"{one}/results", api.results, "GET")
    signs = route("file-urls", f"{_TRANSFORMATION}/file-urls", api.file_urls, "POST")
    return Starlette(
        routes=[
            route("info", "/servicex", api.info, "GET", public=True),
            route("token", "/token/refresh", api.token, "POST", public=True),
            *([signs] if SIGNS in can else []),
            route("submit", _TRANSFORMATION, api.submit, "POST"),
            route("list", _TRANSFORMATION, api.requests, "GET"),
            route("status", one, api.status, "GET"),
            route("delete", one, api.delete, "DELETE"),
            *([lists] if LISTS in can else []),
            route("cancel", f"{one}/cancel", api.cancel, "GET", "POST"),
            route("dataset", "/servicex/datasets/{did_id:int}", api.dataset, "GET"),
            # their signature is their authorization
            route("file", _file_path("{request_id}", "{name}"), api.file, "GET", public=True),
        ],
        middleware=[Middleware(ServerDate, clock=api.clock)],
        exception_handlers={HTTPException: _answer_error},
    )


async def _answer_error(_call: Call, error: Exception) -> Response:
    rejection = cast("HTTPException", error)  # what it is registered for
    return JSONResponse({"message": rejection.detail}, rejection.status_code, rejection.headers)


def _unknown(request_id: str) -> HTTPException:
    return HTTPException(404, f"Transformation request not found with id: '{request_id}'")


def _file_path(request_id: str, name: str) -> str:
    return f"/results/{request_id}/{name}"


def _bearer(call: Call) -> str:
    scheme, _, token = call.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _unlink(paths: list[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


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
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise HTTPException(400, f"later_than is not an ISO time: {text!r}") from error
    return time if time.tzinfo is None else time.astimezone(UTC).replace(tzinfo=None)


def _parse_submission(asked: dict[str, Any], manual: bool) -> Submission:
    codegen = asked.get("codegen")
    if not isinstance(codegen, str):
        raise HTTPException(400, "codegen must be a string")
    selection = asked.get("selection")
    if not isinstance(selection, str):
        raise HTTPException(400, "selection must be a string")
    title, did, files = asked.get("title"), asked.get("did"), asked.get("file-list")
    if title is not None and not isinstance(title, str):
        raise HTTPException(400, "title must be a string")
    if (did is None) == (files is None):
        raise HTTPException(400, "One of did and file-list must be given")
    if did is not None and not isinstance(did, str):
        raise HTTPException(400, "did must be a string")
    if files is not None and not _is_strings(files):
        raise HTTPException(400, "file-list must be a list of strings")
    if codegen != CODEGEN:
        raise HTTPException(500, f"There is no code generator {codegen!r}, only {CODEGEN}")
    try:
        parse_selection(selection)
    except InvalidArgumentError as error:
        raise HTTPException(400, str(error)) from error
    return Submission(
        inputs=tuple(files or ()),
        selection=selection,
        result_format=_choice(asked, "result-format", RESULT_FORMATS),
        result_destination=_choice(asked, "result-destination", _DESTINATIONS),
        title=title,
        did=did,
        manual=manual,
    )


def _choice(asked: dict[str, Any], key: str, choices: tuple[str, ...]) -> str:
    value = asked.get(key, choices[0])
    if value not in choices:
        raise HTTPException(400, f"{key} must be one of {', '.join(choices)}, not {value!r}")
    return str(value)


def _is_strings(value: object) -> TypeGuard[list[str]]:
    if not isinstance(value, list):
        return False
    # lone surrogates are legal in JSON, but no text
    return all(isinstance(item, str) and _is_text(item) for item in value)


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
