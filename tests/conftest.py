"""Fixtures for all tests: an embedded ServiceX, ROOT files, clusters, and checks for leftovers."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import io
import os
import signal
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import awkward as ak
import dask
import numpy as np
import psutil  # type: ignore[import-untyped]
import pytest
import trustme
import uproot
from ctrl_c import press_ctrl_c  # type: ignore[import-not-found]
from distributed import Client, LocalCluster
from optional_dask_awkward import HAS_DASK_AWKWARD  # type: ignore[import-not-found]

from servicex_layer.feed import loop_thread
from servicex_layer.local import LocalServiceX

ATLAS = "0fc6e51a5ea6dea107c195591d20a1b2-15.26710677._000019.pool.root.1"


# Nothing is left over


@pytest.fixture(scope="session", autouse=True)
def nothing_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Check that no process and no directory outlives the tests."""
    before = tempfile.tempdir
    tempfile.tempdir = str(tmp_path_factory.mktemp("temporary"))
    try:
        yield
        assert not list(Path(tempfile.tempdir).glob("servicex-local-*"))
        assert not [child for child in psutil.Process().children() if not _is_helper(child)]
    finally:
        tempfile.tempdir = before


def _is_helper(child: psutil.Process) -> bool:
    """Return whether the process is one that `multiprocessing` keeps until the end."""
    try:
        return any("resource_tracker" in word for word in child.cmdline())
    except psutil.NoSuchProcess:
        return True


@pytest.fixture(autouse=True)
def nothing_left_running(until: Callable[[Callable[[], object]], None]) -> Iterator[None]:
    """Check that what waits for files ends with the test; only the event loop's thread stays."""
    yield
    until(lambda: not asyncio.all_tasks(loop_thread().loop))
    until(lambda: not any(t.name.startswith("servicex-layer-") for t in threading.enumerate()))


@pytest.fixture(autouse=True)
def no_scheduler_left() -> Iterator[None]:
    """Check that closing a client, even twice, restores Dask's default scheduler."""
    before = dask.config.get("scheduler", None)
    yield
    assert dask.config.get("scheduler", None) == before


@pytest.fixture(autouse=True)
def ctrl_c() -> Iterator[None]:
    """Make SIGINT raise KeyboardInterrupt: background jobs ignore it, dask-jobqueue changes it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def no_bearer_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep your own token out of the tests."""
    monkeypatch.delenv("BEARER_TOKEN_FILE", raising=False)


# ServiceX


@pytest.fixture(scope="session")
def shared_service(nothing_left: None) -> Iterator[LocalServiceX]:
    with LocalServiceX(authentication=True) as service:
        yield service


@pytest.fixture
def use_service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[LocalServiceX], None]]:
    """Make a service the configured one, also for processes that start later."""
    with dask.config.set({"servicex-layer.poll-interval": "50ms"}):
        monkeypatch.setenv("DASK_SERVICEX_LAYER__POLL_INTERVAL", "50ms")

        def use(service: LocalServiceX) -> None:
            path = str(service.servicex_yaml)
            monkeypatch.setenv("DASK_SERVICEX_LAYER__CONFIG_PATH", path)
            dask.config.set({"servicex-layer.config-path": path})

        yield use
    dask.config.set({"servicex-layer.config-path": None})


@pytest.fixture
def service(
    shared_service: LocalServiceX, use_service: Callable[[LocalServiceX], None]
) -> LocalServiceX:
    """Return a service with authentication; each test submits requests of its own."""
    use_service(shared_service)
    shared_service.traffic.reset()
    return shared_service


@pytest.fixture
def submit(service: LocalServiceX) -> Callable[..., str]:
    """Submit files with a tree ``events``; `LocalServiceX.release` reports each one."""

    def submit(files: list[Path], tree: str = "events", **query: Any) -> str:
        return service.submit(files, tree=tree, manual=True, **query)

    return submit


@pytest.fixture
def finished(service: LocalServiceX, submit: Callable[..., str]) -> Callable[..., str]:
    """Submit files and finish them in this order."""

    def finished(files: list[Path], tree: str = "events", **query: Any) -> str:
        request_id = submit(files, tree, **query)
        for index in range(len(files)):
            service.release(request_id, index)
        return request_id

    return finished


@pytest.fixture
def stored(
    shared_service: LocalServiceX,
) -> Callable[[str, int], Path]:
    """Return the path of the stored result of an input file."""

    def stored(request_id: str, index: int) -> Path:
        (path,) = shared_service.servicex_yaml.parent.glob(f"results-*/{request_id}-{index}")
        return path

    return stored


Answer = tuple[int, bytes, Mapping[str, str]]


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[str, str], Answer]], str]]:
    """Serve scripted HTTP answers: (status, body, headers)."""
    with contextlib.ExitStack() as servers:
        yield lambda answer: servers.enter_context(_http_server(answer, None))


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """Return a certificate authority that no machine trusts."""
    return trustme.CA()


@pytest.fixture
def serve_tls(authority: trustme.CA) -> Iterator[Callable[[Callable[[str, str], Answer]], str]]:
    """Serve scripted HTTPS answers, with a certificate of the authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with contextlib.ExitStack() as servers:
        yield lambda answer: servers.enter_context(_http_server(answer, context))


@contextlib.contextmanager
def _http_server(
    answer: Callable[[str, str], Answer], context: ssl.SSLContext | None
) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, body, headers = answer(self.command, self.path)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = handle_any  # noqa: N815  (names of http.server)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            # A client that refuses the certificate ends the handshake.
            if context is None:
                super().handle_error(request, client_address)

    server = Server(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        scheme = "http" if context is None else "https"
        yield f"{scheme}://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# Files


@pytest.fixture(scope="session")
def write_file() -> Callable[..., Path]:
    """Write a ROOT file of TTrees."""

    def write(path: Path, **trees: Mapping[str, Any]) -> Path:
        with uproot.recreate(path) as file:
            for name, columns in trees.items():
                file.mktree(name, dict(columns))
        return path

    return write


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory, write_file: Callable[..., Path]) -> list[Path]:
    """Four files of 10 events; the hundreds of `x` are the number of the file."""
    directory = tmp_path_factory.mktemp("inputs")
    return [
        write_file(
            directory / f"input-{index}.root",
            events={
                "x": 100 * index + np.arange(10.0),
                "n": np.arange(10, dtype=np.int32),
                "v": ak.Array([[index + 0.5] * (event % 3) for event in range(10)]),
            },
        )
        for index in range(4)
    ]


@pytest.fixture(scope="session")
def spoil() -> Callable[[bytes, str, str], bytes]:
    """Overwrite the values of one branch in a ROOT file, and nothing else."""

    def spoil(body: bytes, tree: str, branch: str) -> bytes:
        with uproot.open(io.BytesIO(body)) as file:
            found = file[tree][branch]
            start, size = found.member("fBasketSeek")[0], found.member("fBasketBytes")[0]
        return body[:start] + bytes(size) + body[start + size :]

    return spoil


@pytest.fixture(scope="session")
def data() -> Path:
    """Return the directory of real files, which aren't part of the repository."""
    named = os.environ.get("SERVICEX_LAYER_DATA")
    path = Path(named) if named else Path(__file__).parents[2] / "shared" / "data"
    if not path.is_dir():
        pytest.skip("no real files: set $SERVICEX_LAYER_DATA to their directory")
    return path


@pytest.fixture
def atlas(data: Path, tmp_path: Path) -> list[Path]:
    """Return the real ATLAS file under 8 names."""
    links = [tmp_path / f"{index}.{ATLAS}" for index in range(8)]
    for link in links:
        link.symlink_to(data.absolute() / ATLAS)
    return links


# Schedulers


@pytest.fixture(scope="session")
def cluster_of_threads() -> Iterator[LocalCluster]:
    with _cluster(processes=False) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def cluster_of_processes() -> Iterator[LocalCluster]:
    with _cluster(processes=True) as cluster:
        yield cluster


def _cluster(*, processes: bool) -> LocalCluster:
    return LocalCluster(
        n_workers=2, threads_per_worker=1, processes=processes, dashboard_address=":0"
    )


@pytest.fixture
def scheduler(request: pytest.FixtureRequest) -> Iterator[str]:
    """Compute everything with the scheduler of this name, an indirect parameter."""
    if request.param.startswith("cluster"):
        with Client(request.getfixturevalue(request.param)):
            yield request.param
    else:
        with dask.config.set(scheduler=request.param):
            yield request.param


def pytest_configure(config: pytest.Config) -> None:
    # Python 3.11 can deadlock where one thread looks at the frames of others while these begin or
    # end (CPython's issue 106883), as Dask's profiler does all the time.
    dask.config.set({"distributed.worker.profile.enabled": False})
    config.addinivalue_line("markers", "every_scheduler: run once on each of Dask's schedulers")
    config.addinivalue_line("markers", "dask_awkward: skip if dask-awkward is not installed")
    expected = config.getoption(_SKIPS_OPTION)
    if expected is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_SkipCount(expected))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.definition.get_closest_marker("every_scheduler"):
        names = ["sync", "threads", "processes", "cluster_of_threads", "cluster_of_processes"]
        metafunc.parametrize("scheduler", names, indirect=True)


# Without dask-awkward

_SKIPS_OPTION = "--skips-without-dask-awkward"
_NOT_INSTALLED = "needs dask-awkward, which is not installed"


def pytest_addoption(parser: pytest.Parser) -> None:
    help_ = "fail unless this number of tests is skipped because dask-awkward is not installed"
    parser.addoption(_SKIPS_OPTION, type=int, metavar="COUNT", help=help_)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not HAS_DASK_AWKWARD and item.get_closest_marker("dask_awkward"):
            item.add_marker(pytest.mark.skip(reason=_NOT_INSTALLED))


class _SkipCount:
    """Fail the session if the marker `dask_awkward` skips another number of tests than expected.

    Or if something else skips a test because dask-awkward is not installed.
    """

    def __init__(self, expected: int) -> None:
        self._expected = expected
        self._by_marker = 0
        self._by_others: list[str] = []
        self._problem = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._count(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._count(report)

    def _count(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if not report.skipped or not isinstance(report.longrepr, tuple):
            return
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if reason == _NOT_INSTALLED:
            self._by_marker += 1
        elif "dask-awkward" in reason or "dask_awkward" in reason:
            self._by_others.append(report.nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._by_others:
            self._problem = f"skipped without the marker dask_awkward: {self._by_others}"
        elif self._by_marker != self._expected:
            self._problem = (
                f"{self._by_marker} tests were skipped because dask-awkward is not installed, not "
                f"{self._expected}: noxfile.py has this number"
            )
        if self._problem and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._problem:
            terminalreporter.line(f"ERROR: {self._problem}", red=True)


# Waiting


@pytest.fixture(scope="session")
def until() -> Callable[[Callable[[], object]], None]:
    """Wait until a condition holds."""

    def until(condition: Callable[[], object]) -> None:
        end = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < end, "the condition did not hold within 30 s"
            time.sleep(0.005)

    return until


@pytest.fixture
def in_thread() -> Iterator[Callable[[Callable[[], Any]], Callable[[], Any]]]:
    """Start a function in a thread; call the returned function to wait for its result."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        yield lambda function: pool.submit(function).result


@pytest.fixture
def interrupt(
    service: LocalServiceX,
    until: Callable[[Callable[[], object]], None],
    in_thread: Callable[[Callable[[], Any]], Callable[[], Any]],
) -> Callable[[Callable[[], Any]], None]:
    """Call a function that polls the service, and send SIGINT while it does."""

    def interrupt(function: Callable[[], Any]) -> None:
        before = service.traffic.calls["status"]

        def send_signal() -> None:
            until(lambda: service.traffic.calls["status"] >= before + 2)
            press_ctrl_c()

        sent = in_thread(send_signal)
        try:
            function()
        finally:
            sent()

    return interrupt
