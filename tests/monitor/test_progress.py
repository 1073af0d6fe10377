from __future__ import annotations

import re
import sys
import threading
import time
from contextlib import ExitStack, redirect_stderr
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import awkward as ak
import dask
import pytest
from coffea import processor
from coffea.nanoevents import BaseSchema
from dask.base import compute
from distributed import Client, LocalCluster, wait

import servicex_layer as sxl
from servicex_layer.errors import MissingExtraError
from servicex_layer.local import Faults, LocalServiceX

FORM = "{x: float64, n: int32, v: var * float64}"


@pytest.mark.dask_awkward
@pytest.mark.parametrize(
    "scheduler",
    ["sync", "threads", "processes", "cluster_of_threads", "cluster_of_processes"],
    indirect=True,
)
def test_it_shows_the_partitions_read_in_this_computation(
    scheduler: str, service: LocalServiceX, finished: Any, inputs: list[Path], terminal: Any
):
    request_id = finished(inputs)
    events, report = sxl.from_servicex(request_id, report=True)
    with terminal.progress(events):
        _, records = compute(events.x, report)
    name, files, partitions = terminal.screen
    assert re.match(rf"{request_id} Complete, \d:\d\d in all$", name)
    assert files.endswith("4/4 files finished")
    kilobytes = f"{sum(records.read) / 1000:.3g} kB"
    assert f"4/4 partitions read, {kilobytes}, " in partitions
    with terminal.progress({"two": events.partitions[1:3]}):
        events.partitions[1:3].x.compute()
    name, files, partitions = terminal.screen[3:]
    assert name.startswith("two ")
    assert "2/2 partitions read, " in partitions


@pytest.mark.dask_awkward
@pytest.mark.parametrize("scheduler", ["threads", "cluster_of_processes"], indirect=True)
def test_it_counts_the_files_of_partitions_that_hold_several(
    scheduler: str, service: LocalServiceX, finished: Any, inputs: list[Path], terminal: Any
):
    events = sxl.from_servicex(finished(inputs), files_per_partition=3)
    with terminal.progress(events):
        events.x.compute()
    assert "4/4 partitions read, " in terminal.screen[2]
    with terminal.progress(events.partitions[1]):
        events.partitions[1].x.compute()
    assert "1/1 partitions read, " in terminal.screen[5]


@pytest.mark.parametrize(
    "scheduler",
    ["sync", "threads", "cluster_of_threads", "cluster_of_processes"],
    indirect=True,
)
def test_it_shows_the_files_that_a_function_was_called_with(
    scheduler: str, service: LocalServiceX, submit: Any, inputs: list[Path], terminal: Any
):
    samples = {"ttbar": submit(inputs), "wjets": submit(inputs[:2])}
    mapped = sxl.map_files(lambda events: [len(events)], samples)
    with terminal.progress(mapped):
        for request_id, files in zip(samples.values(), (4, 2), strict=True):
            service.release(request_id, *range(files))
        assert mapped.compute() == {"ttbar": 4 * [10], "wjets": 2 * [10]}
    assert [line.split()[0] for line in terminal.screen[::3]] == ["ttbar", "wjets"]
    assert "4/4 partitions read" in terminal.screen[2]
    assert "2/2 partitions read" in terminal.screen[5]


@pytest.mark.parametrize("result_format", ["root-file", "parquet"])
def test_it_shows_the_files_that_a_runner_read(
    cluster_of_processes: LocalCluster,
    service: LocalServiceX,
    finished: Any,
    inputs: list[Path],
    terminal: Any,
    result_format: str,
):
    request_id = finished(inputs, result_format=result_format)
    with Client(cluster_of_processes) as client, terminal.progress(request_id):
        run = processor.Runner(
            processor.DaskExecutor(client=client, status=False),
            schema=BaseSchema,
            format="parquet" if result_format == "parquet" else "root",
        )
        total = run(sxl.work_items(request_id), lambda events: {"x": float(ak.sum(events.x))})
        assert total["x"] == sum(100 * file + event for file in range(4) for event in range(10))
    assert re.search(r"4/4 partitions read, [1-9]", terminal.screen[-1])


@pytest.mark.dask_awkward
@pytest.mark.parametrize("scheduler", ["threads", "cluster_of_processes"], indirect=True)
def test_it_shows_a_running_request_from_the_start(
    scheduler: str,
    service: LocalServiceX,
    submit: Any,
    inputs: list[Path],
    terminal: Any,
    until: Any,
    in_thread: Any,
):
    request_id = submit(inputs)
    events = sxl.from_servicex(request_id, form=FORM)
    with terminal.progress(events):
        until(terminal.shows("0/4 files finished"))
        # before anything is computed
        service.release(request_id, 2)
        until(terminal.shows("1/4 files finished"))
        until(terminal.shows("0/4 partitions read"))
        total = in_thread(lambda: ak.sum(events.x).compute())
        until(terminal.shows("1/4 partitions read"))
        until(terminal.shows(r"Running, \d:\d\d left"))
        for index in (0, 1, 3):
            service.release(request_id, index)
        assert total() == sum(100 * file + event for file in range(4) for event in range(10))
    assert "4/4 partitions read" in terminal.screen[-1]


@pytest.mark.dask_awkward
def test_polls_do_not_grow_with_the_number_of_views(
    service: LocalServiceX, submit: Any, inputs: list[Path], terminal: Any, until: Any
):
    request_id = submit(inputs)
    events = sxl.from_servicex(request_id, form=FORM)
    with dask.config.set({"servicex-layer.poll-interval": "200ms"}), ExitStack() as stack:
        service.traffic.reset()
        began = time.monotonic()
        for _ in range(4):
            stack.enter_context(terminal.progress(events))
        until(lambda: service.traffic.calls["status"] > 8)
        took = time.monotonic() - began
    assert took > 8 * 0.2 * 0.95


@pytest.mark.dask_awkward
def test_each_sample_has_its_lines(
    cluster_of_processes: LocalCluster,
    service: LocalServiceX,
    finished: Any,
    inputs: list[Path],
    terminal: Any,
):
    samples = {"ttbar": finished(inputs[:2]), "wjets": finished(inputs)}
    arrays = {name: sxl.from_servicex(request_id) for name, request_id in samples.items()}
    with Client(cluster_of_processes) as client, terminal.progress(arrays):
        wait(client.compute([ak.sum(array.x) for array in arrays.values()]))
    assert [line.split()[0] for line in terminal.screen[::3]] == ["ttbar", "wjets"]
    assert "2/2 partitions read" in terminal.screen[2]
    assert "4/4 partitions read" in terminal.screen[5]


def test_a_request_by_its_id_shows_failed_files(
    use_service: Any, inputs: list[Path], terminal: Any, until: Any
):
    with LocalServiceX(faults=Faults(failing={1})) as service:
        use_service(service)
        request_id = service.submit(inputs, tree="events")
        with terminal.progress(request_id):
            until(terminal.shows("3/4 files finished, 1 failed"))
            until(terminal.shows("Complete"))


def test_an_error_of_the_backend_is_shown(
    use_service: Any, inputs: list[Path], terminal: Any, until: Any
):
    with LocalServiceX() as service:
        use_service(service)
        with terminal.progress("no-such-request"):
            until(terminal.shows("The ServiceX backend local at"))


@pytest.mark.dask_awkward
def test_an_error_of_the_computation_is_raised(finished: Any, inputs: list[Path], terminal: Any):
    events = sxl.from_servicex(finished(inputs))
    with pytest.raises(ZeroDivisionError), terminal.progress(events):
        raise ZeroDivisionError
    assert "0/4 partitions read" in terminal.screen[-1]


@pytest.mark.dask_awkward
def test_a_client_closed_during_the_computation_is_shown(
    cluster_of_threads: LocalCluster, finished: Any, inputs: list[Path], terminal: Any
):
    # Closed once: a second time, as `with` would, leaves Dask's configuration as with a client.
    client = Client(cluster_of_threads)
    events = sxl.from_servicex(finished(inputs))
    with terminal.progress(events):
        assert len(events.compute()) == 40
        client.close()
    assert "Dask's scheduler does not answer" in " ".join(terminal.screen)


@pytest.mark.dask_awkward
def test_a_client_closed_before_the_computation_is_shown(
    cluster_of_threads: LocalCluster, finished: Any, inputs: list[Path], terminal: Any
):
    client = Client(cluster_of_threads)
    events = sxl.from_servicex(finished(inputs))
    with redirect_stderr(terminal):
        progress = sxl.progress(events)
        client.close()
        with progress:
            pass
    assert re.search(r"connecting.*Dask's scheduler does not answer", " ".join(terminal.screen))


@pytest.mark.dask_awkward
def test_it_shows_nothing_on_a_pipe(finished: Any, inputs: list[Path], pipe: Any):
    events = sxl.from_servicex(finished(inputs))
    with pipe.progress(events):
        threads = [thread.name for thread in threading.enumerate()]
        assert len(events.compute(scheduler="sync")) == 40
    assert "servicex-layer-progress" not in threads
    assert pipe.screen == []


@pytest.mark.dask_awkward
def test_it_shows_nothing_in_continuous_integration(
    finished: Any, inputs: list[Path], terminal: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CI", "true")
    events = sxl.from_servicex(finished(inputs))
    with terminal.progress(events):
        assert len(events.compute(scheduler="sync")) == 40
    assert terminal.screen == []


@pytest.mark.dask_awkward
def test_a_notebook_shows_it_below_the_cell(
    finished: Any, inputs: list[Path], monkeypatch: pytest.MonkeyPatch, terminal: Any
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
    with terminal.progress({"<b>": events}):
        events.compute(scheduler="sync")
    assert "4/4 partitions read" in shown[-1]
    assert "&lt;b&gt;" in shown[-1]
    assert terminal.screen == []


@pytest.mark.dask_awkward
def test_without_rich_the_error_says_what_to_install(
    finished: Any, inputs: list[Path], monkeypatch: pytest.MonkeyPatch, terminal: Any
):
    events = sxl.from_servicex(finished(inputs))
    monkeypatch.setitem(sys.modules, "rich.live", None)
    with (
        pytest.raises(MissingExtraError, match=r"servicex_layer\[progress\]"),
        terminal.progress(events),
    ):
        pass
