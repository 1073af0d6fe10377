"""A server between start and stop: its parts, put together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from servicex_layer.errors import InvalidArgumentError
from servicex_layer.local._app import build_app
from servicex_layer.local._clock import Clock
from servicex_layer.local._database import Database
from servicex_layer.local._directory import ServerDirectory
from servicex_layer.local._dispatcher import Dispatcher
from servicex_layer.local._fault_injector import FaultInjector
from servicex_layer.local._handlers import CAPABILITIES, GENERATE_URLS, Handlers
from servicex_layer.local._http_server import HOST, HttpServer, listen
from servicex_layer.local._options import Options
from servicex_layer.local._request import TransformRequest
from servicex_layer.local._s3 import S3
from servicex_layer.local._s3_server import S3Server
from servicex_layer.local._token_issuer import TokenIssuer
from servicex_layer.local._traffic import Traffic
from servicex_layer.local._url_signer import UrlSigner


@dataclass(frozen=True)
class RunningService:
    """The parts of a running server. `stop` removes all of them."""

    url: str
    directory: ServerDirectory
    database: Database
    tokens: TokenIssuer
    dispatcher: Dispatcher
    injector: FaultInjector
    http: HttpServer
    store: S3 | None
    s3_server: S3Server | None

    @classmethod
    def start(cls, options: Options, traffic: Traffic) -> Self:
        """Start a server, and an S3 server if the options ask for one.

        Raises
        ------
        InvalidArgumentError
            If the port or the directory can't be used.
        MissingExtraError
            If the S3 server is not installed.
        BackendError
            If the S3 store can't be used.
        """
        needs_s3_server = options.store == "s3" or (
            options.store is None and options.version is not None
        )
        s3_server = S3Server.start() if needs_s3_server else None
        try:
            return cls._start(options, traffic, s3_server)
        except BaseException:
            if s3_server is not None:
                s3_server.stop()
            raise

    @classmethod
    def _start(cls, options: Options, traffic: Traffic, s3_server: S3Server | None) -> Self:
        store = options.store if isinstance(options.store, S3) else None
        if store is not None:
            store.check()
        if s3_server is not None:
            store = s3_server.store
        listener = listen(options.port)
        url = f"http://{HOST}:{listener.getsockname()[1]}"
        clock = Clock(options.faults.clock_offset)
        tokens = TokenIssuer(clock, options.token_lifetime)
        endpoint = {"name": options.name, "endpoint": url}
        if options.authentication:
            endpoint["token"] = tokens.refresh_token()
        try:
            directory = ServerDirectory.create(options.directory, {"api_endpoints": [endpoint]})
        except BaseException:
            listener.close()
            raise
        database = Database(
            clock,
            options.seed,
            options.parallelism,
            options.faults,
            url,
            store.status() if store else None,
        )
        dispatcher = Dispatcher(
            database,
            clock,
            directory.results,
            parallelism=options.parallelism,
            delay=options.delay,
            lookup_time=options.lookup_time,
            faults=options.faults,
            seed=options.seed,
            store=store,
            uploads_late=options.version is not None,
        )
        handlers = Handlers(
            database=database,
            clock=clock,
            tokens=tokens,
            signer=UrlSigner(clock, options.url_lifetime),
            traffic=traffic,
            file_headers=options.file_headers,
            capabilities=_capabilities(options, store),
            store=store,
            take=dispatcher.take,
            drop=dispatcher.drop,
        )
        injector = FaultInjector(options.faults.http, options.seed)
        http = HttpServer(f"LocalServiceX-{options.name}", listener)
        app = build_app(
            handlers,
            authentication=options.authentication,
            injector=injector,
            hang_up=http.hang_up,
            middleware=options.middleware,
        )
        http.start(app, beside=dispatcher.run())
        return cls(url, directory, database, tokens, dispatcher, injector, http, store, s3_server)

    def manual_request(self, request_id: str) -> TransformRequest:
        """Return a manual request.

        Raises
        ------
        InvalidArgumentError
            If the request is unknown or not a manual one.
        """
        request = self.request(request_id)
        if not request.submission.manual:
            raise InvalidArgumentError(
                f"request {request_id} reports its files by itself: submit it with manual=True"
            )
        return request

    def request(self, request_id: str) -> TransformRequest:
        """Return a request.

        Raises
        ------
        InvalidArgumentError
            If the request is unknown.
        """
        request = self.database.get(request_id)
        if request is None:
            raise InvalidArgumentError(f"there is no request {request_id!r}")
        return request

    def upload(self, request: TransformRequest, indices: Iterable[int]) -> None:
        """Upload results to the store, for a server that reports them first."""
        for index in indices:
            name = request.objects[index]
            path = self.database.result(request.id, name)
            if path is not None and self.store is not None:
                self.store.put(request.id, name, path)

    def stop(self) -> None:
        """Stop, and remove all files and buckets."""
        self.database.close()
        self.http.stop()
        try:
            self.directory.remove()
        finally:
            if self.s3_server is not None:
                self.s3_server.stop()
            elif self.store is not None:
                for request_id in self.database.ids():
                    self.store.remove(request_id)


def _capabilities(options: Options, store: S3 | None) -> list[str] | None:
    if options.version is not None:
        return None
    return [name for name in CAPABILITIES if store is None or name != GENERATE_URLS]
