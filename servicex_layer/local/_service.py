"""The embedded ServiceX, as its users see it."""

from __future__ import annotations

import atexit
import contextlib
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

import httpx

from servicex_layer.errors import BackendUnreachableError, InvalidArgumentError, ProtocolError
from servicex_layer.local._faults import Faults
from servicex_layer.local._http_fault import HttpFault
from servicex_layer.local._options import Options
from servicex_layer.local._running import RunningService
from servicex_layer.local._s3 import S3
from servicex_layer.local._submission import absolute_paths, build_selection
from servicex_layer.local._traffic import Traffic
from servicex_layer.uproot_raw import CODEGEN

if TYPE_CHECKING:
    from starlette.types import ASGIApp


class LocalServiceX:
    """A ServiceX on this machine: real HTTP, real transformations, real result files.

    Use it as a context manager, or call `start` and `stop`. The server runs in a thread of this
    process and transforms files in processes of its own. Requests and results end with it.

    Parameters
    ----------
    directory
        The directory of ``servicex.yaml`` and of the result files while the server runs. It may
        hold other files, but no ``servicex.yaml``. None is a temporary directory.
    name
        The backend's name in ``servicex.yaml``.
    port
        The port; 0 is any free one.
    parallelism
        The number of files transformed at the same time, each in a process.
    delay
        The least time that the transformation of a file takes, in seconds, give or take a tenth.
    lookup_time
        Seconds over which the lookup of a request finds its files. They are transformed meanwhile.
    seed
        Seed of everything random.
    authentication
        Whether calls need an access token.
    token_lifetime
        Seconds for which an access token is valid.
    url_lifetime
        Seconds for which the URL of a result file is valid.
    file_headers
        Headers that come with the URL of a result file, and that calls for it must send.
    faults
        Faults of the server.
    store
        The store of the results. None is the server itself, which sends their URLs. ``"s3"``
        starts an S3 server (extra ``s3``), and an `S3` is a server that runs already: then a status
        holds the keys, and clients sign URLs themselves.
    version
        2024 is a server of that year: it names no capabilities, doesn't list finished files, and
        uploads a result after counting it. It needs an S3 store, and starts one by default.
    middleware
        ASGI middleware around each call, for faults that `HttpFault` doesn't have: a function that
        takes an application and returns one. A call is counted before it and authorized
        after it. ``scope["extensions"]["servicex-layer"]`` holds ``route``, as in
        `Traffic.calls`, and ``hang_up``, an async function that closes the connection.

    Raises
    ------
    InvalidArgumentError
        If an argument is out of range.

    Examples
    --------
    >>> with LocalServiceX() as service:
    ...     request_id = service.submit([], tree="events")
    """

    traffic: Traffic
    """Counters of the calls since the start."""

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
        middleware: Callable[[ASGIApp], ASGIApp] | None = None,
    ) -> None:
        self._options = Options(
            directory=None if directory is None else Path(directory).absolute(),
            name=name,
            port=port,
            parallelism=parallelism,
            delay=delay,
            lookup_time=lookup_time,
            seed=seed,
            authentication=authentication,
            token_lifetime=token_lifetime,
            url_lifetime=url_lifetime,
            file_headers=dict(file_headers or {}),
            faults=faults,
            store=store,
            version=version,
            middleware=middleware,
        )
        self.traffic = Traffic()
        self._lifecycle = threading.Lock()
        self._running: RunningService | None = None

    def __repr__(self) -> str:
        where = self._running.url if self._running else "not running"
        return f"<{type(self).__name__} {self._options.name!r}: {where}>"

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
        """The configuration file for clients; with ``authentication``, it has the refresh token."""
        return self._get_running().directory.servicex_yaml

    @property
    def store(self) -> S3 | None:
        """The S3 store of the results, None if the server itself stores them."""
        return self._get_running().store

    def start(self) -> None:
        """Start the server. Do nothing if it runs.

        Raises
        ------
        InvalidArgumentError
            If the port or the directory can't be used.
        MissingExtraError
            If the S3 server is not installed.
        BackendError
            If the S3 server doesn't start, or the S3 store can't be used.
        """
        with self._lifecycle:
            if self._running is None:
                self.traffic.reset()
                self._running = RunningService.start(self._options, self.traffic)
                atexit.register(self.stop)

    def stop(self) -> None:
        """Stop the server and remove its files. Do nothing if it doesn't run."""
        with self._lifecycle:
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
            The whole query of ``uproot-raw`` instead, as JSON or as the list it encodes.
        result_format
            ``root-file``, ``root-rntuple`` or ``parquet``.
        result_destination
            ``object-store``, or ``volume``: then the names of the results are their paths.
        title
            The request's title.
        manual
            Transform the files, but report none before `release`.

        Returns
        -------
        str
            The request's id.

        Raises
        ------
        InvalidArgumentError
            If an input file does not exist, or the server rejects the request.
        BackendUnreachableError
            If the server doesn't run.
        ProtocolError
            If a fault spoils the server's answer.
        """
        running = self._get_running()
        fields = {
            "title": title,
            "file-list": absolute_paths(files),
            "selection": build_selection(tree, columns, cut, selection),
            "codegen": CODEGEN,
            "result-destination": result_destination,
            "result-format": result_format,
        }
        set_fields = {key: value for key, value in fields.items() if value is not None}
        body = json.dumps(set_fields).encode()
        if not manual:
            return _post(running, body)
        running.database.expect_manual(body)
        try:
            return _post(running, body)
        finally:  # if a fault has kept the submission from the server
            running.database.take_manual(body)

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
            The request's id.
        indices
            The input files, counted from 0.
        created_at
            The rows' ``created_at``, in UTC if it has no zone. None is now, by the server's clock.
        counted
            Whether the counters include the rows at once. Otherwise `count` adds them.

        Raises
        ------
        InvalidArgumentError
            If the request is unknown, not a manual one or has ended, or a file can't be released.
            The files transformed before a request is canceled can.
        BackendUnreachableError
            If the server doesn't run, or stops meanwhile.
        """
        running = self._get_running()
        request = running.manual_request(request_id)
        never = self._options.faults.never & set(indices)
        if never:
            raise InvalidArgumentError(
                f"input file {min(never)} cannot be released: Faults.never has it"
            )
        if created_at is not None and created_at.tzinfo is not None:
            created_at = created_at.astimezone(UTC).replace(tzinfo=None)
        running.database.release(request, indices, created_at, counted)
        if self._options.version is not None:
            running.upload(request, indices)

    def count(self, request_id: str) -> None:
        """Add all visible rows of a manual request to its counters.

        Raises
        ------
        InvalidArgumentError
            If the request is unknown or not a manual one.
        BackendUnreachableError
            If the server doesn't run.
        """
        running = self._get_running()
        running.database.count(running.manual_request(request_id))

    def retransform(self, request_id: str, index: int, *, success: bool = True) -> None:
        """Transform a reported file again, as ServiceX does if a transformer dies.

        Its row is updated in place and keeps its ``id`` and ``created_at``; the counters follow.
        The size of the result changes if the input file has changed.

        Parameters
        ----------
        request_id
            The request's id.
        index
            The input file, counted from 0.
        success
            False makes the file fail.

        Raises
        ------
        InvalidArgumentError
            If the request is unknown, or the file is not reported yet.
        BackendUnreachableError
            If the server doesn't run.
        BackendError
            If the S3 store refuses the result.
        """
        running = self._get_running()
        request = running.request(request_id)
        running.http.run(running.dispatcher.retransform(request, index, success=success))

    def fail(self, request_id: str, reason: str) -> None:
        """End a request as ``Fatal``. Do nothing if it has ended.

        Parameters
        ----------
        request_id
            The request's id.
        reason
            The request's ``failure-info``.

        Raises
        ------
        InvalidArgumentError
            If the request is unknown.
        BackendUnreachableError
            If the server doesn't run.
        """
        running = self._get_running()
        running.database.fail(running.request(request_id), "Fatal", reason)

    @contextlib.contextmanager
    def inject(self, *faults: HttpFault) -> Iterator[None]:
        """Replace the faults of calls, those of ``Faults.http``, within a ``with`` statement.

        Raises
        ------
        BackendUnreachableError
            If the server doesn't run.
        """
        injector = self._get_running().injector
        before = injector.faults
        injector.replace(faults)
        try:
            yield
        finally:
            injector.replace(before)

    @contextlib.contextmanager
    def outage(self) -> Iterator[None]:
        """Cut all connections and refuse new ones within a ``with`` statement.

        Transformations continue.

        Raises
        ------
        BackendUnreachableError
            If the server doesn't run.
        InvalidArgumentError
            If another program takes the port meanwhile.
        """
        running = self._get_running()
        running.http.go_away()
        try:
            yield
        finally:
            if running is self._running:
                running.http.come_back()

    def _get_running(self) -> RunningService:
        if self._running is None:
            raise BackendUnreachableError(
                f"the embedded ServiceX {self._options.name!r} does not run: "
                "use it in a with statement, or call start() first"
            )
        return self._running


def _post(running: RunningService, body: bytes) -> str:
    headers = {
        "Authorization": f"Bearer {running.tokens.access_token()}",
        "Content-Type": "application/json",
    }
    try:
        response = httpx.post(
            f"{running.url}/servicex/transformation",
            content=body,
            headers=headers,
            timeout=60,
            trust_env=False,
        )
    except httpx.TransportError as error:
        raise BackendUnreachableError(
            f"the embedded ServiceX at {running.url} does not answer: {error!r}"
        ) from error
    accepted = response.status_code == httpx.codes.OK
    try:
        answer = response.json()["request_id" if accepted else "message"]
    except (ValueError, KeyError, TypeError) as error:
        raise ProtocolError(
            f"the embedded ServiceX answered {response.status_code} without a request id or a "
            "message: its faults affect submit() as well"
        ) from error
    if not accepted:
        raise InvalidArgumentError(f"the server rejects the request: {answer}")
    return str(answer)
