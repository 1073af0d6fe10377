"""The HTTP application: the routes of ServiceX, each with its middleware."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from servicex_layer.local._fault_injector import FaultInjector, FaultMiddleware
from servicex_layer.local._handlers import GENERATE_URLS, POLL_RESULTS, Handlers, file_path
from servicex_layer.local._middleware import (
    Authorization,
    HangUp,
    RouteExtension,
    ServerDate,
    TrafficCounter,
)
from servicex_layer.local._token_issuer import RejectedTokenError

_TRANSFORMATION = "/servicex/transformation"


def build_app(
    handlers: Handlers,
    *,
    authentication: bool,
    injector: FaultInjector,
    hang_up: HangUp,
    middleware: Callable[[ASGIApp], ASGIApp] | None,
) -> Starlette:
    """Build the application; with ``authentication``, most routes need an access token."""

    def route(
        name: str,
        path: str,
        handler: Callable[[Request], Any],
        *methods: str,
        public: bool = False,
    ) -> Route:
        around = [
            Middleware(RouteExtension, route=name, hang_up=hang_up),
            Middleware(TrafficCounter, route=name, traffic=handlers.traffic),
            Middleware(FaultMiddleware, injector=injector),
        ]
        if middleware is not None:
            around.append(Middleware(middleware))
        if authentication and not public:
            around.append(Middleware(Authorization, tokens=handlers.tokens))
        return Route(path, handler, methods=methods, name=name, middleware=around)

    request = _TRANSFORMATION + "/{request_id}"
    capabilities = handlers.capabilities or ()
    results = route("results", f"{request}/results", handlers.results, "GET")
    file_urls = route("file-urls", f"{_TRANSFORMATION}/file-urls", handlers.file_urls, "POST")
    return Starlette(
        routes=[
            route("info", "/servicex", handlers.info, "GET", public=True),
            route("token", "/token/refresh", handlers.token, "POST", public=True),
            *([file_urls] if GENERATE_URLS in capabilities else []),
            route("submit", _TRANSFORMATION, handlers.submit, "POST"),
            route("list", _TRANSFORMATION, handlers.requests, "GET"),
            route("status", request, handlers.status, "GET"),
            route("delete", request, handlers.delete, "DELETE"),
            *([results] if POLL_RESULTS in capabilities else []),
            route("cancel", f"{request}/cancel", handlers.cancel, "GET", "POST"),
            route("dataset", "/servicex/datasets/{did_id:int}", handlers.dataset, "GET"),
            route("logs", "/logs/{request_id}", handlers.logs, "GET", public=True),
            # the signature in the URL is the authorization
            route("file", file_path("{request_id}", "{name}"), handlers.file, "GET", public=True),
        ],
        middleware=[Middleware(ServerDate, clock=handlers.clock)],
        exception_handlers={
            HTTPException: _error_response,
            RejectedTokenError: _rejected_token_response,
        },
    )


async def _error_response(_call: Request, error: Exception) -> Response:
    rejection = cast("HTTPException", error)  # Starlette passes the class it is registered for
    return JSONResponse({"message": rejection.detail}, rejection.status_code, rejection.headers)


async def _rejected_token_response(_call: Request, error: Exception) -> Response:
    rejection = cast("RejectedTokenError", error)
    # "msg", not "message": this answer is that of the library that checks tokens
    return JSONResponse({"msg": str(rejection)}, rejection.status)
