"""The embedded ServiceX's life: from a directory and a port to nothing left behind."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import json
import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import httpx
import uvicorn
import yaml

from servicex_layer.errors import BackendUnreachableError, InvalidArgumentError, ProtocolError
from servicex_layer.local._book import Book, Request
from servicex_layer.local._clock import Clock
from servicex_layer.local._disturbed import Disturbances
from servicex_layer.local._faults import Faults
from servicex_layer.local._http_faults import HttpFault
from servicex_layer.local._routes import CAPABILITIES, SIGNS, Api, build_app
from servicex_layer.local._s3 import S3
from servicex_layer.local._s3_server import S3Server
from servicex_layer.local._tokens import Signer, Tokens
from servicex_layer.local._traffic import Traffic
from servicex_layer.local._transformer import Transformer
from servicex_layer.uproot_raw import CODEGEN

_HOST = "127.0.0.1"


class LocalServiceX:
    """A ServiceX on this machine: real HTTP, real transformations, real result files.

    A context manager; `start` and `stop` do the same by hand. It runs in a thread of this process
    and transforms in processes of its own. All that it knows ends with it.

    Parameters
    ----------
    directory
        Where ``servicex.yaml`` and the result files go while it runs. It may hold other files, but
        no ``servicex.yaml``. None is a temporary directory.
    name
        The backend's name in ``servicex.yaml``.
    port
        0 takes a free one.
    parallelism
        The number of files that are transformed at the same time, each in a process.
    delay
        Seconds that the transformation of a file takes, at least; give or take a tenth.
    lookup_time
        Seconds over which the lookup of a request finds its files. They are transformed meanwhile.
    seed
        Decides all that is left to chance.
    authentication
        Whether calls need an access token.
    token_lifetime
        Seconds for which an access token is good.
    url_lifetime
        Seconds for which the URL of a result file is good.
    file_headers
        Headers that are given out with the URL of a result file and must be sent with the call.
    faults
        What goes wrong.
    store
        Where the results are. By default here, and the server gives URLs of them. ``"s3"`` starts
        an S3 server beside it (extra ``s3``), and an `S3` is one that is there already: then the
        status has the keys, and clients sign URLs themselves.
    version
        2024 is a server as they were then: it names no capabilities, says nothing of single files,
        and uploads a result after it was counted. Its store is an S3 store.

    Raises
    ------
    InvalidArgumentError
        An argument is out of its range; at the start, the port or the directory cannot be used.
    """

    traffic: Traffic
    """What went over the wire since the start."""

    def __init__(
        self,
        directory: str | Path | None = None,
        *,
        name: str = "local",
        port: int = 0,
        parallelism: int = 2,
        delay: float = 0.0,
        lookup_time: float = 0.0,
        seed: int = 0,
        authentication: bool = False,
        token_lifetime: float = 3600.0,
        url_lifetime: float = 3600.0,
        file_headers: Mapping[str, str] | None = None,
        faults: Faults = Faults(),  # noqa: B008
        store: S3 | Literal["s3"] | None = None,
        version: Literal[2024] | None = None,
    ) -> None:
        if not name:
            raise InvalidArgumentError("name must not be empty")
        if not 0 <= port <= 65535:
            raise InvalidArgumentError(f"port must be between 0 and 65535, not {port}")
        if parallelism < 1:
            raise InvalidArgumentError(f"parallelism must be at least 1, not {parallelism}")
        if store not in {None, "s3"} and not isinstance(store, S3):
            raise InvalidArgumentError(f"store must be 's3', an S3 or None, not {store!r}")
        if version not in {None, 2024}:
            raise InvalidArgumentError(f"version must be 2024 or None, not {version!r}")
        _check_seconds(delay=delay, lookup_time=lookup_time)
        _check_seconds(token_lifetime=token_lifetime, url_lifetime=url_lifetime)
        self.traffic = Traffic()
        self._directory = None if directory is None else Path(directory).absolute()
        self._name = name
        self._port = port
        self._parallelism = parallelism
        self._delay = delay
        self._lookup_time = lookup_time
        self._seed = seed
        self._authentication = authentication
        self._token_lifetime = token_lifetime
        self._url_lifetime = url_lifetime
        self._file_headers = dict(file_headers or {})
        self._faults = faults
        self._store = "s3" if store is None and version is not None else store
        self._version = version
        self._life = threading.Lock()
        self._running: _Running | None = None

    def __repr__(self) -> str:
        where = self._running.url if self._running else "not running"
        return f"<{type(self).__name__} {self._name!r}: {where}>"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The backend's URL."""
        return self._get_running().url

    @property
    def servicex_yaml(self) -> Path:
        """The configuration file for its users; holds the refresh token where there is one."""
        return self._get_running().servicex_yaml

    @property
    def store(self) -> S3 | None:
        """The S3 store of the results, where they are in one."""
        return self._get_running().store

    def start(self) -> None:
        """Start; without effect where it runs already.

        Raises
        ------
        InvalidArgumentError
            The port or the directory cannot be used.
        MissingExtraError
            The S3 server is not installed.
        BackendError
            The S3 server does not start, or the store that was given cannot be used.
        """
        with self._life:
            if self._running is None:
                self.traffic.reset()
                self._running = self._launch()
                atexit.register(self.stop)

    def stop(self) -> None:
        """Stop, and remove all that it made; without effect where it does not run."""
        with self._life:
            if self._running is not None:
                running, self._running = self._running, None
                running.stop()
                atexit.unregister(self.stop)

    def submit(
        self,
        files: Iterable[str | Path],
        *,
        tree: str | Sequence[str] | Mapping[str, str] | None = None,
        columns: Sequence[str] | None = None,
        cut: str | None = None,
        selection: str | Sequence[Mapping[str, Any]] | None = None,
        result_format: str = "root-file",
        result_destination: str = "object-store",
        title: str | None = None,
        manual: bool = False,
    ) -> str:
        """Submit a request over HTTP and return its id.

        Parameters
        ----------
        files
            Paths and URLs of the input files.
        tree, columns, cut
            The query: ``treename``, ``filter_name`` and ``cut`` of ``uproot-raw``.
        selection
            The whole query instead, as JSON or as what it stands for.
        result_format
            ``root-file``, ``root-rntuple`` or ``parquet``.
        result_destination
            ``object-store``, or ``volume``: the names of the results are then their paths.
        title
            As in a ServiceX request.
        manual
            Files are transformed, but nothing is reported before `release`.

        Raises
        ------
        InvalidArgumentError
            The server does not take the request.
        BackendUnreachableError
            The server does not run.
        ProtocolError
            The server's faults made it answer nonsense.
        """
        running = self._get_running()
        body = {
            "title": title,
            "file-list": _absolute(files),
            "selection": _selection(tree, columns, cut, selection),
            "codegen": CODEGEN,
            "result-destination": result_destination,
            "result-format": result_format,
        }
        content = json.dumps({key: value for key, value in body.items() if value is not None})
        if manual:
            running.book.expect_manual(content.encode())
        headers = {
            "Authorization": f"Bearer {running.tokens.access_token()}",
            "Content-Type": "application/json",
        }
        try:
            response = httpx.post(
                f"{running.url}/servicex/transformation",
                content=content.encode(),
                headers=headers,
                timeout=60,
                trust_env=False,
            )
        except httpx.TransportError as error:
            raise BackendUnreachableError(
                f"the embedded ServiceX at {running.url} does not answer: {error!r}"
            ) from error
        finally:
            if manual:  # where a fault kept the submission from the book
                running.book.take_manual(content.encode())
        accepted = response.status_code == httpx.codes.OK
        try:
            said = response.json()["request_id" if accepted else "message"]
        except (ValueError, KeyError, TypeError) as error:
            raise ProtocolError(
                f"the embedded ServiceX answered {response.status_code} and nonsense: its faults "
                "befall submit() too"
            ) from error
        if not accepted:
            raise InvalidArgumentError(f"the request was not accepted: {said}")
        return str(said)

    def release(
        self,
        request_id: str,
        *indices: int,
        created_at: datetime | None = None,
        counted: bool = True,
    ) -> None:
        """Make the rows of a manual request's files visible, all at once.

        Waits until all of them are transformed.

        Parameters
        ----------
        request_id
            What `submit` returned.
        indices
            Which input files, counted from 0.
        created_at
            The rows' ``created_at``; without a zone it is in UTC. None is now, by the server's
            clock.
        counted
            Whether the counters rise too. Otherwise they do with `count`.

        Raises
        ------
        InvalidArgumentError
            The request is unknown, not a manual one or over, or a file cannot be released.
        BackendUnreachableError
            The server does not run, or was stopped meanwhile.
        """
        running = self._get_running()
        request = running.get_manual(request_id)
        never = self._faults.never & set(indices)
        if never:
            raise InvalidArgumentError(
                f"input file {min(never)} cannot be released: the faults say that it never ends"
            )
        if created_at is not None and created_at.tzinfo is not None:
            created_at = created_at.astimezone(UTC).replace(tzinfo=None)
        running.book.release(request, indices, created_at, counted)
        if self._version is not None:
            running.upload(request, indices)

    def count(self, request_id: str) -> None:
        """Let the counters of a manual request catch up with its visible rows.

        Raises
        ------
        InvalidArgumentError
            The request is unknown or not a manual one.
        BackendUnreachableError
            The server does not run.
        """
        running = self._get_running()
        running.book.count(running.get_manual(request_id))

    def fail(self, request_id: str, reason: str) -> None:
        """End a request as ``Fatal``; without effect where it is over.

        Parameters
        ----------
        request_id
            What `submit` returned.
        reason
            Its ``failure-info``.

        Raises
        ------
        InvalidArgumentError
            The request is unknown.
        BackendUnreachableError
            The server does not run.
        """
        running = self._get_running()
        request = running.book.get(request_id)
        if request is None:
            raise InvalidArgumentError(f"there is no request {request_id!r}")
        running.book.fail(request, "Fatal", reason)

    @contextlib.contextmanager
    def disturbed(self, *faults: HttpFault) -> Iterator[None]:
        """Have other faults than those of ``Faults.http`` for as long as the context lasts.

        Raises
        ------
        BackendUnreachableError
            The server does not run.
        """
        disturbances = self._get_running().disturbances
        before = disturbances.faults
        disturbances.replace(faults)
        try:
            yield
        finally:
            disturbances.replace(before)

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Be away for as long as the context lasts: connections are cut, and nobody listens.

        What was submitted goes on meanwhile.

        Raises
        ------
        BackendUnreachableError
            The server does not run.
        InvalidArgumentError
            Another program has taken the port meanwhile.
        """
        running = self._get_running()
        running.wait_for(running.server.go_away())
        try:
            yield
        finally:
            if running is self._running:
                running.wait_for(running.server.come_back())

    def _get_running(self) -> _Running:
        if self._running is None:
            raise BackendUnreachableError(
                f"the embedded ServiceX {self._name!r} does not run: "
                "use it in a with statement, or start() it first"
            )
        return self._running

    def _launch(self) -> _Running:
        server = S3Server.start() if self._store == "s3" else None
        try:
            return self._launch_beside(server)
        except BaseException:
            if server is not None:
                server.stop()
            raise

    def _launch_beside(self, s3_server: S3Server | None) -> _Running:
        store = self._store if isinstance(self._store, S3) else None
        if store is not None:
            store.check()
        if s3_server is not None:
            store = s3_server.store
        capabilities = None
        if self._version is None:
            capabilities = [can for can in CAPABILITIES if store is None or can != SIGNS]
        listener = _listen(self._port)
        url = f"http://{_HOST}:{listener.getsockname()[1]}"
        clock = Clock(self._faults.clock_offset)
        tokens = Tokens(clock, self._token_lifetime)
        endpoint = {"name": self._name, "endpoint": url}
        if self._authentication:
            endpoint["token"] = tokens.refresh_token()
        try:
            home = _Home.make(self._directory, {"api_endpoints": [endpoint]})
        except BaseException:
            listener.close()
            raise
        book = Book(clock, self._seed, self._parallelism, store.status() if store else None)
        transformer = Transformer(
            book,
            clock,
            home.results,
            parallelism=self._parallelism,
            delay=self._delay,
            lookup_time=self._lookup_time,
            faults=self._faults,
            seed=self._seed,
            store=store,
            uploads_late=self._version is not None,
        )
        api = Api(
            book=book,
            clock=clock,
            tokens=tokens,
            signer=Signer(clock, self._url_lifetime),
            traffic=self.traffic,
            file_headers=self._file_headers,
            capabilities=capabilities,
            store=store,
            take=transformer.take,
            drop=transformer.drop,
        )

        disturbances = Disturbances(self._faults.http, self._seed)

        def hang_up(client: tuple[str, int]) -> None:
            server.hang_up(client)

        config = uvicorn.Config(
            build_app(
                api,
                authentication=self._authentication,
                disturbances=disturbances,
                hang_up=hang_up,
            ),
            lifespan="off",
            ws="none",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            date_header=False,  # ServerDate's
            timeout_keep_alive=75,
            timeout_graceful_shutdown=1,
        )
        server = _Server(config)
        thread = threading.Thread(
            target=asyncio.run,
            args=(_serve(server, transformer, listener),),
            name=f"LocalServiceX-{self._name}",
            daemon=True,
        )
        thread.start()
        return _Running(url, home, book, tokens, disturbances, server, thread, store, s3_server)


@dataclass(frozen=True)
class _Home:
    """The files of a running server."""

    servicex_yaml: Path
    results: Path
    temporary: Path | None
    """The directory of both where it is to be removed too."""

    @classmethod
    def make(cls, directory: Path | None, configuration: object) -> Self:
        temporary = None
        if directory is None:
            directory = temporary = Path(tempfile.mkdtemp(prefix="servicex-local-"))
        servicex_yaml = directory / "servicex.yaml"
        try:
            directory.mkdir(parents=True, exist_ok=True)
            _write_private(servicex_yaml, yaml.safe_dump(configuration, sort_keys=False))
            results = Path(tempfile.mkdtemp(prefix="results-", dir=directory))
        except FileExistsError as error:
            raise InvalidArgumentError(
                f"{error.filename} is there already: choose another directory, or remove it "
                "where it was left behind by an embedded ServiceX"
            ) from error
        except OSError as error:
            raise InvalidArgumentError(
                f"the directory {directory} cannot be used: {error.strerror}"
            ) from error
        return cls(servicex_yaml, results, temporary)

    def remove(self) -> None:
        self.servicex_yaml.unlink(missing_ok=True)
        for directory in (self.results, self.temporary):
            if directory is not None and directory.exists():
                shutil.rmtree(directory)


@dataclass(frozen=True)
class _Running:
    """What there is between start and stop."""

    url: str
    home: _Home
    book: Book
    tokens: Tokens
    disturbances: Disturbances
    server: _Server
    thread: threading.Thread
    store: S3 | None
    s3_server: S3Server | None

    @property
    def servicex_yaml(self) -> Path:
        return self.home.servicex_yaml

    def get_manual(self, request_id: str) -> Request:
        request = self.book.get(request_id)
        if request is None:
            raise InvalidArgumentError(f"there is no request {request_id!r}")
        if not request.submission.manual:
            raise InvalidArgumentError(
                f"request {request_id} reports by itself: submit it with manual=True"
            )
        return request

    def upload(self, request: Request, indices: Iterable[int]) -> None:
        """Put results into the store, for a server that reports them first."""
        for index in indices:
            name = request.objects[index]
            path = self.book.result(request.id, name)
            if path is not None and self.store is not None:
                self.store.put(request.id, name, path)

    def wait_for(self, work: Coroutine[Any, Any, None]) -> None:
        """Have something done in the server's thread."""
        loop = self.server.loop.result(timeout=60)
        asyncio.run_coroutine_threadsafe(work, loop).result()

    def stop(self) -> None:
        self.book.close()
        self.server.should_exit = True
        self.thread.join()
        self.home.remove()
        if self.s3_server is not None:
            self.s3_server.stop()
        elif self.store is not None:
            for request_id in self.book.ids():
                self.store.remove(request_id)


class _Server(uvicorn.Server):
    loop: concurrent.futures.Future[asyncio.AbstractEventLoop]
    """Where it runs, once it does."""
    _port: int

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.loop = concurrent.futures.Future()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        if not self.loop.done():
            self.loop.set_result(asyncio.get_running_loop())

    async def go_away(self) -> None:
        """Listen no more, and cut all connections."""
        self._port = self.servers[0].sockets[0].getsockname()[1]
        for server in self.servers:
            server.close()
        await self._cut()

    async def come_back(self) -> None:
        """Listen again, at the same port."""
        await self.startup(sockets=[_listen(self._port)])

    async def _cut(self) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)

    def hang_up(self, client: tuple[str, int]) -> None:
        """Close the connection of a client once all is sent that was written."""
        for connection in self.server_state.connections:
            if connection.transport.get_extra_info("peername") == client:
                connection.transport.close()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Hang up at once: a client that does not read its file would hold up the end."""
        await self._cut()
        await super().shutdown(sockets)


async def _serve(server: uvicorn.Server, transformer: Transformer, listener: socket.socket) -> None:
    transforming = asyncio.create_task(transformer.run())
    # an error of the transformer ends the server, rather than leave requests that never end
    transforming.add_done_callback(lambda _: setattr(server, "should_exit", True))
    try:
        await server.serve(sockets=[listener])
    finally:
        transforming.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await transforming


def _listen(port: int) -> socket.socket:
    # without the protocol asyncio leaves Nagle's algorithm on, which costs 40 ms for each range
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((_HOST, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise InvalidArgumentError(
            f"port {port} of {_HOST} cannot be used: {error.strerror}; "
            "choose another one, or 0 for any that is free"
        ) from error
    return listener


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def _absolute(files: object) -> list[str]:
    if isinstance(files, str | Path) or not isinstance(files, Iterable):
        raise InvalidArgumentError(f"files must be a list of paths or URLs, not {files!r}")
    return [
        file if isinstance(file, str) and "://" in file else str(Path(file).absolute())
        for file in files
    ]


def _selection(
    tree: str | Sequence[str] | Mapping[str, str] | None,
    columns: Sequence[str] | None,
    cut: str | None,
    selection: str | Sequence[Mapping[str, Any]] | None,
) -> str:
    if (tree is None) == (selection is None):
        raise InvalidArgumentError("one of tree and selection must be given")
    if selection is None:
        entry = {"treename": tree, "filter_name": columns, "cut": cut}
        return json.dumps([{key: value for key, value in entry.items() if value is not None}])
    if columns is not None or cut is not None:
        raise InvalidArgumentError("columns and cut go with tree; they belong into the selection")
    return selection if isinstance(selection, str) else json.dumps(selection)


def _check_seconds(**options: float) -> None:
    for name, value in options.items():
        if not 0 <= value < float("inf"):
            raise InvalidArgumentError(f"{name} must be at least 0 seconds, not {value}")
