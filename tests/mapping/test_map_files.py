"""One function per finished file, without coffea."""

from __future__ import annotations

import operator
import os
import pickle
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import awkward as ak
import dask
import httpx
import numpy as np
import pytest
import uproot
from distributed import Client, LocalCluster

import servicex_layer as sxl
from servicex_layer.errors import (
    FailedFilesError,
    FailedFilesWarning,
    FunctionError,
    InvalidArgumentError,
    ResultError,
    TransformCanceledError,
)
from servicex_layer.local import Faults, LocalServiceX

FORMATS = ["root-file", "root-rntuple", "parquet"]
SUM_OF_X = sum(100 * file + event for file in range(4) for event in range(10))


def sum_of_x(events: Any) -> float:
    return float(ak.sum(events.x))


def first_x(events: Any) -> float:
    return float(events.x[0])


def fail_on_file_2(events: Any) -> float:
    if events.x[0] == 200:
        raise LookupError("no calibration")
    return float(events.x[0])


class PickyError(Exception):
    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


def fail_pickily(events: Any) -> None:
    raise PickyError("not", "unpicklable")


@pytest.mark.every_scheduler
def test_results_are_reduced_while_the_request_runs(
    service: LocalServiceX,
    submit: Callable[..., str],
    inputs: list[Path],
    scheduler: str,
    in_thread: Any,
):
    request_id = submit(inputs)
    total = in_thread(sxl.map_files(sum_of_x, request_id).compute)
    service.release(request_id, 3, 1)
    service.release(request_id, 0, 2)
    assert total() == SUM_OF_X


@pytest.mark.parametrize("result_format", FORMATS)
def test_columns_of_every_format(
    finished: Callable[..., str], inputs: list[Path], result_format: str
):
    def columns(events: Any) -> list[Any]:
        return [(events.x[9], ak.sum(events.v), len(events), sorted({*events.fields} - {"nv"}))]

    results = sxl.map_files(columns, finished(inputs, result_format=result_format)).compute()
    expected = [
        (100 * file + 9.0, 9 * (file + 0.5), 10, ["n", "v", "x"]) for file in range(len(inputs))
    ]
    assert results == expected


def test_a_function_starts_before_the_last_file_is_finished(
    service: LocalServiceX,
    submit: Callable[..., str],
    inputs: list[Path],
    until: Any,
    in_thread: Any,
):
    request_id = submit(inputs)
    seen: list[float] = []

    def note(events: Any) -> int:
        seen.append(first_x(events))
        return 1

    with dask.config.set(scheduler="threads", num_workers=4):
        count = in_thread(sxl.map_files(note, request_id).compute)
        service.release(request_id, 2)
        until(lambda: seen == [200])
        service.release(request_id, 0, 1, 3)
        assert count() == 4


def test_no_reduction_lists_results_in_the_order_of_completion(
    service: LocalServiceX, submit: Callable[..., str], inputs: list[Path]
):
    request_id = submit(inputs)
    for number in (2, 0, 3, 1):
        service.release(request_id, number)
    results = sxl.map_files(first_x, request_id, reduce=None, split_every=2)
    assert results.compute() == [200, 0, 300, 100]


def test_a_reduction_gets_results_in_the_order_of_completion(
    finished: Callable[..., str], inputs: list[Path]
):
    joined = sxl.map_files(
        lambda events: [first_x(events)], finished(inputs), reduce=operator.add, split_every=3
    )
    assert joined.compute() == [0, 100, 200, 300]


@pytest.mark.parametrize("files_per_task", [1, 3, 5])
def test_several_files_in_one_task(
    finished: Callable[..., str], inputs: list[Path], files_per_task: int
):
    mapped = sxl.map_files(
        first_x, finished(inputs), reduce=None, files_per_task=files_per_task, split_every=2
    )
    calls = [key for key in mapped.dask.to_dict() if str(key).startswith("('servicex-map")]
    assert len(calls) == -(-4 // files_per_task)
    assert mapped.compute() == [0, 100, 200, 300]


def test_two_samples_are_one_graph_and_a_dictionary(
    finished: Callable[..., str], inputs: list[Path]
):
    samples = {"signal": finished(inputs[:1]), "background": finished(inputs[1:])}

    def names(events: Any) -> list[tuple[str, float]]:
        return [(events.metadata["dataset"], events.metadata["weight"])]

    metadata = {"signal": {"weight": 2.0}, "background": {"weight": 0.5}}
    mapped = sxl.map_files(names, samples, metadata=metadata)
    assert mapped.compute() == {
        "signal": [("signal", 2.0)],
        "background": 3 * [("background", 0.5)],
    }


def test_metadata_names_the_file(finished: Callable[..., str], inputs: list[Path]):
    request_id = finished(inputs[:1])
    (metadata,) = sxl.map_files(
        lambda events: [events[events.x > 3].metadata], request_id, metadata={"year": 2018}
    ).compute()
    assert metadata == {
        "dataset": request_id,
        "filename": str(inputs[0]),
        "number": 0,
        "request_id": request_id,
        "treename": "events",
        "entrystart": 0,
        "entrystop": 10,
        "year": 2018,
    }


def test_a_function_reaches_other_objects_of_the_file(
    finished: Callable[..., str], inputs: list[Path], stored: Any, write_file: Any
):
    request_id = finished(inputs[:1])
    with uproot.recreate(stored(request_id, 0)) as file:
        file.mktree("events", {"x": np.arange(1000.0)})
        file["sumw"] = np.histogram(np.arange(10), bins=5)
    sumw = sxl.map_files(lambda events: events.attrs["@file"]["sumw"].values(), request_id)
    assert sumw.compute().tolist() == [2, 2, 2, 2, 2]


@pytest.mark.parametrize("scheduler", ["sync", "cluster_of_processes"], indirect=True)
def test_the_report_has_a_record_of_each_file(
    finished: Callable[..., str], inputs: list[Path], scheduler: str
):
    result, report = sxl.map_files(sum_of_x, finished(inputs), report=True)
    total, records = dask.base.compute(result, report)
    assert total == SUM_OF_X
    assert records.partition.to_list() == [0, 1, 2, 3]
    assert records.input.to_list() == [str(path) for path in inputs]
    assert ak.all(records.read > 0)


def test_reports_of_samples(finished: Callable[..., str], inputs: list[Path]):
    samples = {"a": finished(inputs[:1]), "b": finished(inputs[1:])}
    result, report = sxl.map_files(first_x, samples, reduce=None, report=True)
    values, records = dask.base.compute(result, report)
    assert values == {"a": [0], "b": [100, 200, 300]}
    assert [len(records[sample]) for sample in samples] == [1, 3]


def test_a_request_without_files_has_no_result(finished: Callable[..., str]):
    assert sxl.map_files(first_x, finished([])).compute() is None
    assert sxl.map_files(first_x, finished([]), reduce=None).compute() == []


def test_a_file_without_tree_and_events_is_left_out(
    finished: Callable[..., str], inputs: list[Path], stored: Any
):
    request_id = finished(inputs, cut="x < 150")
    with uproot.recreate(stored(request_id, 3)) as file:
        file["padding"] = np.histogram(np.random.default_rng(1).random(30_000), bins=30_000)
    assert sxl.map_files(lambda events: [len(events)], request_id).compute() == [10, 10, 0]


# Keys


def test_functions_and_arguments_have_keys_of_their_own(
    finished: Callable[..., str], inputs: list[Path]
):
    request_id = finished(inputs)
    factor = 2
    same = [sxl.map_files(first_x, request_id).key for _ in range(2)]
    assert same[0] == same[1]
    calls: list[tuple[Any, dict[str, Any]]] = [
        (first_x, {}),
        (sum_of_x, {}),
        (lambda events: first_x(events) * factor, {}),
        (lambda events: first_x(events) * 3, {}),
        (partial(max, 3), {}),
        (partial(max, 4), {}),
        (first_x, {"tree": "events"}),
        (first_x, {"metadata": {"year": 2018}}),
        (first_x, {"reduce": max}),
        (first_x, {"reduce": None}),
        (first_x, {"split_every": 2}),
        (first_x, {"files_per_task": 2}),
    ]
    keys = {sxl.map_files(function, request_id, **options).key for function, options in calls}
    assert len(keys) == 12


def test_functions_of_one_request_can_be_computed_together(
    finished: Callable[..., str], inputs: list[Path]
):
    request_id = finished(inputs)
    ways = [
        sxl.map_files(first_x, request_id),
        sxl.map_files(sum_of_x, request_id),
        sxl.map_files(first_x, request_id, reduce=max),
    ]
    assert dask.base.compute(*ways, scheduler="sync") == (600, SUM_OF_X, 300)


# Virtual columns


def test_columns_that_are_not_touched_are_not_read(
    finished: Callable[..., str], inputs: list[Path], stored: Any, spoil: Any
):
    request_id = finished(inputs)
    path = stored(request_id, 0)
    path.write_bytes(spoil(path.read_bytes(), "events", "n"))
    assert sxl.map_files(sum_of_x, request_id).compute() == SUM_OF_X
    broken = sxl.map_files(lambda events: ak.sum(events.n), request_id)
    with pytest.raises(ResultError, match=f"of request {request_id}"):
        broken.compute(scheduler="sync")


def test_arrays_in_a_result_are_read_before_the_file_is_closed(
    finished: Callable[..., str], inputs: list[Path]
):
    def untouched(events: Any) -> list[Any]:
        return [{"x": events.x, "events": (events[["n", "v"]], len(events))}]

    for scheduler in ("threads", "sync"):
        results = sxl.map_files(untouched, finished(inputs)).compute(scheduler=scheduler)
        assert [ak.sum(one["x"]) for one in results] == [45, 1045, 2045, 3045]
        assert [ak.sum(one["events"][0].n) for one in results] == [45] * 4
        assert pickle.loads(pickle.dumps(results[0]["x"])).to_list() == list(range(10))  # noqa: S301


def test_a_column_that_is_touched_too_late_is_an_error(
    finished: Callable[..., str], inputs: list[Path]
):
    class Holder:
        def __init__(self, events: Any) -> None:
            self.events = events
            self.sum = ak.sum(events.x)

    (holder,) = sxl.map_files(Holder, finished(inputs[:1]), reduce=None).compute(scheduler="sync")
    assert holder.sum == ak.sum(holder.events.x)
    with pytest.raises(ResultError, match="'n' was not read before"):
        ak.sum(holder.events.n)


@pytest.fixture
def wide(tmp_path: Path, write_file: Callable[..., Path]) -> list[Path]:
    """Return 3 files of 100 columns and 4 MB each."""
    random = np.random.default_rng(1)
    return [
        write_file(
            tmp_path / f"wide-{number}.root",
            events={f"c{column}": random.random(5_000) for column in range(100)},
        )
        for number in range(3)
    ]


@pytest.mark.dask_awkward
@pytest.mark.parametrize("result_format", FORMATS)
def test_five_of_a_hundred_columns_cost_the_bytes_of_an_array_of_five(
    finished: Callable[..., str], wide: list[Path], result_format: str
):
    chosen = [f"c{column}" for column in (3, 20, 21, 60, 99)]
    request_id = finished(wide, result_format=result_format)

    def by_column(events: Any) -> float:
        return float(sum(ak.sum(events[column]) for column in chosen))

    with dask.config.set({"servicex-layer.range-threshold": 0, "scheduler": "sync"}):
        events, report = sxl.from_servicex(request_id, report=True)
        sums, records = dask.base.compute([ak.sum(events[name]) for name in chosen], report)
        mapped, mapped_records = dask.base.compute(
            *sxl.map_files(by_column, request_id, report=True)
        )
    assert mapped == pytest.approx(float(sum(sums)))
    assert ak.sum(records.read) < 0.3 * ak.sum(records["size"])
    assert ak.sum(mapped_records.read) <= 1.1 * ak.sum(records.read)


# Failures


@pytest.mark.filterwarnings("ignore::servicex_layer.errors.FailedFilesWarning")
def test_failed_files_are_left_out(
    use_service: Callable[[LocalServiceX], None], inputs: list[Path]
):
    with LocalServiceX(faults=Faults(failing={0, 2})) as service:
        use_service(service)
        request_id = service.submit(inputs, tree="events", manual=True)
        service.release(request_id, 0, 1, 2, 3)
        assert sorted(sxl.map_files(first_x, request_id, reduce=None).compute()) == [100, 300]
        with pytest.warns(FailedFilesWarning):
            sxl.map_files(first_x, service.submit(inputs, tree="events")).compute()
        strict = sxl.map_files(first_x, request_id, on_failed="raise")
        with pytest.raises(FailedFilesError, match="2 of 4 files failed"):
            strict.compute()
        _, report = sxl.map_files(first_x, request_id, report=True)
        assert report.compute().failed.to_list()[2:] == [str(inputs[0]), str(inputs[2])]


@pytest.mark.filterwarnings("ignore::servicex_layer.errors.FailedFilesWarning")
def test_a_request_whose_files_all_failed_is_an_error(
    finished: Callable[..., str], inputs: list[Path]
):
    request_id = finished(inputs, "no-such-tree")
    for reduce in (operator.add, None):
        with pytest.raises(FailedFilesError, match="4 files failed"):
            sxl.map_files(first_x, request_id, reduce=reduce).compute()


@pytest.mark.parametrize("scheduler", ["sync", "cluster_of_processes"], indirect=True)
def test_an_error_of_the_function_names_request_file_and_input(
    finished: Callable[..., str], inputs: list[Path], scheduler: str
):
    request_id = finished(inputs)
    with pytest.raises(FunctionError) as raised:
        sxl.map_files(fail_on_file_2, request_id).compute()
    text = str(raised.value)
    for part in (request_id, str(inputs[2]), "fail_on_file_2", "LookupError", "no calibration"):
        assert part in text
    assert isinstance(raised.value.__cause__, LookupError)


@pytest.mark.parametrize("scheduler", ["sync", "cluster_of_processes"], indirect=True)
def test_an_error_that_cannot_be_unpickled_is_shown(
    finished: Callable[..., str], inputs: list[Path], scheduler: str
):
    with pytest.raises(FunctionError, match="PickyError: not unpicklable"):
        sxl.map_files(fail_pickily, finished(inputs)).compute()


def test_a_reduction_that_fails_is_an_error_with_advice(
    finished: Callable[..., str], inputs: list[Path]
):
    request_id = finished(inputs)
    with pytest.raises(FunctionError, match=rf"{request_id}: reduce=add failed.*dict.*reduce=None"):
        sxl.map_files(lambda _: {"a": 1}, request_id).compute()


@pytest.mark.parametrize("scheduler", ["threads", "cluster_of_processes"], indirect=True)
def test_a_canceled_request_is_an_error(
    service: LocalServiceX,
    submit: Callable[..., str],
    inputs: list[Path],
    scheduler: str,
    in_thread: Any,
):
    request_id = submit(inputs)
    total = in_thread(sxl.map_files(sum_of_x, request_id).compute)
    service.release(request_id, 0)
    cancel(service, request_id)
    with pytest.raises(TransformCanceledError):
        total()


def test_a_request_that_ended_without_results_is_an_error(
    service: LocalServiceX, submit: Callable[..., str], inputs: list[Path]
):
    request_id = submit(inputs)
    cancel(service, request_id)
    with pytest.raises(TransformCanceledError, match=request_id):
        sxl.map_files(sum_of_x, request_id)


def cancel(service: LocalServiceX, request_id: str) -> None:
    refresh = service.servicex_yaml.read_text().partition("token:")[2].split()[0]
    answer = httpx.post(
        f"{service.url}/token/refresh", headers={"Authorization": f"Bearer {refresh}"}
    )
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    url = f"{service.url}/servicex/transformation/{request_id}/cancel"
    httpx.get(url, headers=headers).raise_for_status()


@pytest.mark.parametrize("scheduler", ["sync", "threads"])
def test_interrupt_ends_the_wait(
    submit: Callable[..., str],
    inputs: list[Path],
    interrupt: Callable[[Callable[[], Any]], None],
    scheduler: str,
):
    mapped = sxl.map_files(sum_of_x, submit(inputs))
    with pytest.raises(KeyboardInterrupt):
        interrupt(partial(mapped.compute, scheduler=scheduler))


def test_a_killed_worker_loses_and_repeats_nothing(
    service: LocalServiceX, submit: Callable[..., str], inputs: list[Path], until: Any
):
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as cluster,
        Client(cluster) as client,
    ):
        request_id = submit(inputs)
        future = client.compute(sxl.map_files(sum_of_x, request_id))
        service.release(request_id, 0, 1)
        pids = client.run(os.getpid)
        until(lambda: client.run_on_scheduler(count_finished_calls) == 2)
        os.kill(next(iter(pids.values())), getattr(signal, "SIGKILL", signal.SIGTERM))
        service.release(request_id, 2, 3)
        assert future.result(timeout=60) == SUM_OF_X


def count_finished_calls(dask_scheduler: Any) -> int:
    tasks = dask_scheduler.tasks.values()
    return sum(task.prefix.name == "servicex-map" and bool(task.who_has) for task in tasks)


@pytest.mark.parametrize("scheduler", ["cluster_of_processes"], indirect=True)
def test_waiting_holds_no_thread_of_a_worker(
    service: LocalServiceX, submit: Callable[..., str], inputs: list[Path], scheduler: str
):
    client = Client.current()
    request_id = submit(inputs)
    # Four files are waited for with two threads; other work must still run.
    waiting = client.compute(sxl.map_files(sum_of_x, request_id))
    assert client.submit(operator.add, 1, 2).result(timeout=30) == 3
    service.release(request_id, 0, 1, 2, 3)
    assert waiting.result(timeout=60) == SUM_OF_X


# Bad input


class NoProcess:
    process = None


class Processor:
    def process(self, events: Any) -> int:
        return len(events)


def bad(**options: Any) -> dict[str, Any]:
    return {"func": first_x, "request": "5f1c0d3e", **options}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (bad(func=lambda: 1), "must take one argument"),
        (bad(func=lambda _, cut: cut), "must take one argument"),
        (bad(func=3), "must be a function of the events"),
        (bad(func=NoProcess()), "`process` that can't be called"),
        (bad(func=Processor), "is a class: give an instance"),
        (bad(schema="NanoAOD"), "must be a schema of coffea"),
        (bad(reduce="add"), "must be a function of two results"),
        (bad(split_every=1), "split_every=1 must be an integer of at least 2"),
        (bad(files_per_task=0), "files_per_task=0 must be an integer of at least 1"),
        (bad(request=""), "request_id=''"),
        (bad(request={}), "neither the id of a request nor a mapping"),
        (bad(request={"a": 3}), "Sample 'a': 3 is not a valid request id"),
        (bad(request={"": "5f1c0d3e"}), "must be a non-empty string"),
        (bad(metadata=3), "must be a mapping"),
        (bad(request={"a": "5f1c0d3e"}, metadata={"b": {}}), "the samples are a"),
        (bad(on_failed="maybe"), "on_failed='maybe'"),
        (bad(max_failed=2), "max_failed=2"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_input_is_named(options: dict[str, Any], message: str):
    with pytest.raises(InvalidArgumentError) as raised:
        sxl.map_files(**options)
    assert message in str(raised.value)
