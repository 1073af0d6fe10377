from __future__ import annotations

import io
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import awkward as ak
import dask
import dask_awkward
import pyte
import pytest
from dask.base import compute
from dask.delayed import delayed
from distributed import Client, LocalCluster, wait

import servicex_layer as sxl
from servicex_layer.errors import InvalidArgumentError, MissingExtraError
from servicex_layer.local import Faults, LocalServiceX

dak: Any = dask_awkward
FORM = "{x: float64, n: int32, v: var * float64}"


class Terminal(io.TextIOBase):
    """A terminal of which one can read what it shows."""

    terminal = True

    def __init__(self) -> None:
        self._screen = pyte.Screen(80, 40)
        self._stream = pyte.Stream(self._screen)

    def isatty(self) -> bool:
        return self.terminal

    def write(self, text: str) -> int:
        self._stream.feed(text.replace("\n", "\r\n"))
        return len(text)

    @property
    def screen(self) -> list[str]:
        return [line.rstrip() for line in self._screen.display if line.strip()]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    terminal = Terminal()
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("CI", raising=False)
    return terminal


@contextmanager
def progress(terminal: Terminal, *things: Any) -> Iterator[None]:
    with redirect_stderr(terminal), sxl.progress(*things):
        yield


def until_shown(terminal: Terminal, until: Any, pattern: str) -> None:
    # as wide as the terminal is
    until(lambda: re.search(pattern, " ".join(" ".join(terminal.screen).split())))


@pytest.mark.parametrize(
    "scheduler",
    ["sync", "threads", "cluster_of_threads", "cluster_of_processes"],
    indirect=True,
)
def test_it_shows_what_was_read(
    scheduler: str, service: LocalServiceX, finished: Any, inputs: list[Path], terminal: Terminal
):
    request_id = finished(inputs)
    events, report = sxl.from_servicex(request_id, report=True)
    with progress(terminal, events):
        _, records = compute(events.x, report)
    name, files, partitions = terminal.screen
    assert re.match(rf"{request_id} Complete, \d:\d\d in all$", name)
    assert files.endswith("4/4 files finished")
    kilobytes = f"{sum(records.read) / 1000:.3g} kB"
    assert f"4/4 partitions read, {kilobytes}, " in partitions
    # read again, and not all of it
    with progress(terminal, {"two": events.partitions[1:3]}):
        events.partitions[1:3].x.compute()
    name, files, partitions = terminal.screen[3:]
    assert name.startswith("two ")
    assert "2/2 partitions read, " in partitions


@pytest.mark.parametrize("scheduler", ["threads", "cluster_of_processes"], indirect=True)
def test_it_follows_a_running_request_with_no_poller_of_its_own(
    scheduler: str,
    service: LocalServiceX,
    submit: Any,
    inputs: list[Path],
    terminal: Terminal,
    until: Any,
    in_thread: Any,
):
    request_id = submit(inputs)
    events = sxl.from_servicex(request_id, form=FORM)
    with progress(terminal, events):
        until_shown(terminal, until, "0/4 files finished")
        # nothing is computed yet, and it is seen all the same
        service.release(request_id, 2)
        until_shown(terminal, until, "1/4 files finished")
        until_shown(terminal, until, "0/4 partitions read")
        total = in_thread(lambda: ak.sum(events.x).compute())
        until_shown(terminal, until, "1/4 partitions read")
        until_shown(terminal, until, r"Running, \d:\d\d left")
        for index in (0, 1, 3):
            service.release(request_id, index)
        assert total() == sum(100 * file + event for file in range(4) for event in range(10))
    assert "4/4 partitions read" in terminal.screen[-1]


def test_polls_do_not_grow_with_those_who_look(
    service: LocalServiceX, submit: Any, inputs: list[Path], terminal: Terminal, until: Any
):
    request_id = submit(inputs)
    events = sxl.from_servicex(request_id, form=FORM)
    with dask.config.set({"servicex-layer.poll-interval": "200ms"}), ExitStack() as stack:
        service.traffic.reset()
        began = time.monotonic()
        for _ in range(4):
            stack.enter_context(progress(terminal, events))
        until(lambda: service.traffic.calls["status"] > 8)
        took = time.monotonic() - began
    assert took > 8 * 0.2 * 0.95


def test_futures_and_samples(
    cluster_of_processes: LocalCluster,
    service: LocalServiceX,
    finished: Any,
    inputs: list[Path],
    terminal: Terminal,
):
    samples = {"ttbar": finished(inputs[:2]), "wjets": finished(inputs)}
    arrays = {name: sxl.from_servicex(request_id) for name, request_id in samples.items()}
    with Client(cluster_of_processes) as client, progress(terminal, arrays):
        wait(client.compute([ak.sum(array.x) for array in arrays.values()]))
    assert [line.split()[0] for line in terminal.screen[::3]] == ["ttbar", "wjets"]
    assert "2/2 partitions read" in terminal.screen[2]
    assert "4/4 partitions read" in terminal.screen[5]


def test_failed_files_and_requests_by_id(
    use_service: Any, inputs: list[Path], terminal: Terminal, until: Any
):
    with LocalServiceX(faults=Faults(failing={1})) as service:
        use_service(service)
        request_id = service.submit(inputs, tree="events")
        with progress(terminal, request_id):
            until_shown(terminal, until, "3/4 files finished, 1 failed")
            until_shown(terminal, until, "Complete")


def test_trouble_is_shown(use_service: Any, inputs: list[Path], terminal: Terminal, until: Any):
    with LocalServiceX() as service:
        use_service(service)
        with progress(terminal, "no-such-request"):
            until_shown(terminal, until, "The ServiceX backend local at")


def test_an_error_of_the_computation_passes_through(
    finished: Any, inputs: list[Path], terminal: Terminal
):
    events = sxl.from_servicex(finished(inputs))
    with pytest.raises(ZeroDivisionError), progress(terminal, events):
        raise ZeroDivisionError
    assert "0/4 partitions read" in terminal.screen[-1]


def test_a_client_that_is_closed_meanwhile(
    cluster_of_threads: LocalCluster, finished: Any, inputs: list[Path], terminal: Terminal
):
    # Closed once: a second time, as `with` would, leaves Dask's configuration as with a client.
    client = Client(cluster_of_threads)
    events = sxl.from_servicex(finished(inputs))
    with progress(terminal, events):
        assert len(events.compute()) == 40
        client.close()
    assert "Dask's scheduler does not answer" in " ".join(terminal.screen)


@pytest.mark.parametrize("why", ["CI", "no terminal"])
def test_it_is_silent_elsewhere(
    why: str,
    service: LocalServiceX,
    finished: Any,
    inputs: list[Path],
    terminal: Terminal,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
):
    if why == "CI":
        monkeypatch.setenv("CI", "true")
    else:
        terminal.terminal = False
    events = sxl.from_servicex(finished(inputs))
    with progress(terminal, events):
        threads = [thread.name for thread in threading.enumerate()]
        assert len(events.compute(scheduler="sync")) == 40
    assert "servicex-layer-progress" not in threads
    assert terminal.screen == []
    assert capfd.readouterr() == ("", "")


def test_in_a_notebook(
    finished: Any, inputs: list[Path], monkeypatch: pytest.MonkeyPatch, terminal: Terminal
):
    shown = []

    class Handle:
        def update(self, page: Any) -> None:
            shown.append(page.data)

    display = SimpleNamespace(
        HTML=lambda data: SimpleNamespace(data=data), display=lambda _, **_options: Handle()
    )
    shell = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=None), display=display)
    monkeypatch.setitem(sys.modules, "IPython", shell)
    events = sxl.from_servicex(finished(inputs))
    with progress(terminal, {"<b>": events}):
        events.compute(scheduler="sync")
    assert "4/4 partitions read" in shown[-1]
    assert "&lt;b&gt;" in shown[-1]
    assert terminal.screen == []


def test_without_rich(
    finished: Any, inputs: list[Path], monkeypatch: pytest.MonkeyPatch, terminal: Terminal
):
    events = sxl.from_servicex(finished(inputs))
    monkeypatch.setitem(sys.modules, "rich.live", None)
    with (
        pytest.raises(MissingExtraError, match=r"servicex_layer\[progress\]"),
        progress(terminal, events),
    ):
        pass


@pytest.mark.parametrize("things", [(), ({},), (3,), (delayed(3),), ("",)])
def test_what_has_no_request_is_told(things: tuple[Any, ...]):
    with pytest.raises(InvalidArgumentError, match=r"[gG]ive arrays of"):
        sxl.progress(*things)
