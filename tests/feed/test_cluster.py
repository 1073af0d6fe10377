"""One feed for a cluster, and waiting that costs nothing (invariants 2, 5 and 6)."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import threading
from contextlib import nullcontext
from functools import partial

import dask
import pytest
from ctrl_c import press_ctrl_c  # type: ignore[import-not-found]
from dask.base import compute
from dask.highlevelgraph import HighLevelGraph
from distributed import Client, LocalCluster
from optional_dask_awkward import dak  # type: ignore[import-not-found]

import servicex_layer as sxl
from servicex_layer.errors import (
    AuthorizationError,
    ConfigError,
    InvalidArgumentError,
    MissingObjectError,
    UnknownBackendError,
    WaitTimeoutError,
)
from servicex_layer.feed import loop_thread
from servicex_layer.feed._packing import unpack_batch
from servicex_layer.local import HttpFault

FORM = "{x: float64, n: int32, v: var * float64}"


@pytest.fixture
def cluster(nothing_left):
    """Give a cluster that a test may hurt: 2 processes of 1 thread."""
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def lone_worker(nothing_left):
    """Give a cluster of one worker of one thread."""
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        yield client


def waiting_tasks(client):
    """Count the tasks that wait for a file on the workers of a cluster."""
    tasks = list(client.cluster.scheduler.tasks.values())
    # The scheduler goes on meanwhile, in a thread of its own.
    waiting = [(ts, ts.processing_on) for ts in tasks if ts.prefix.name == "servicex-file"]
    return sum(worker is not None and ts in worker.long_running for ts, worker in waiting)


def by_hand(request_id, npartitions):
    files = sxl.SXFileLayer(request_id, npartitions)
    load = sxl.UprootLoadLayer(files, form=FORM)
    graph = HighLevelGraph(
        {files.name: files, load.name: load}, {files.name: set(), load.name: {files.name}}
    )
    return dak.lib.core.new_array_object(graph, load.name, meta=load.meta, npartitions=npartitions)


def firsts(array):
    """Compute the number in each partition that tells its file."""
    return [int(part[0] // 100) for part in compute(*array.x.to_delayed()) if len(part)]


# One feed


@pytest.mark.dask_awkward
def test_a_request_that_waits_keeps_no_thread_from_one_that_is_finished(
    lone_worker, service, submit, finished, inputs
):
    waiting, over = submit(inputs), finished(inputs)
    slow, quick = (sxl.from_servicex(one, form=FORM) for one in (waiting, over))
    pending = lone_worker.compute(slow.x)
    assert lone_worker.compute(quick.x).result(timeout=30).tolist() == all_x(inputs)
    # In the one graph too, where the array that waits comes first.
    both = lone_worker.compute([slow.x + 1, quick.x + 1])
    assert both[1].result(timeout=30).tolist() == [x + 1 for x in all_x(inputs)]
    assert not pending.done()
    for index in (2, 0, 3, 1):
        service.release(waiting, index)
    assert sorted(pending.result(timeout=30).tolist()) == all_x(inputs)
    assert sorted(both[0].result(timeout=30).tolist()) == [x + 1 for x in all_x(inputs)]


def all_x(inputs):
    return [100.0 * index + x for index in range(len(inputs)) for x in range(10)]


@pytest.mark.dask_awkward
def test_the_order_is_that_of_completion_and_the_same_for_all(cluster, service, submit, inputs):
    request_id = submit(inputs)
    events = sxl.from_servicex(request_id, form=FORM)
    futures = cluster.compute(events.x.to_delayed())
    for place, index in enumerate((2, 0, 3, 1)):
        service.release(request_id, index)
        assert futures[place].result(timeout=30)[0] == 100 * index
    assert firsts(sxl.from_servicex(request_id, form=FORM)) == [2, 0, 3, 1]


@pytest.mark.dask_awkward
def test_a_worker_that_is_killed_while_it_waits_changes_nothing(
    cluster, service, submit, inputs, until
):
    request_id = submit(inputs)
    events = sxl.from_servicex(request_id, form=FORM)
    futures = cluster.compute(events.x.to_delayed())
    service.release(request_id, 3)
    assert futures[0].result(timeout=30)[0] == 300
    # More often than Dask then lets a task be on a worker that is lost: what waited on the first
    # worker goes to the second, as nobody else is there.
    cluster.cluster.scheduler.allowed_failures = 1
    for pid in cluster.run(os.getpid).values():
        until(lambda: waiting_tasks(cluster) == 3)
        before = set(cluster.scheduler_info()["workers"])
        os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))
        until(partial(are_replaced, cluster, before))
    for index in (1, 0, 2):
        service.release(request_id, index)
    assert [part[0] for part in cluster.gather(futures)] == [300, 100, 0, 200]


def are_replaced(client, before):
    """Tell whether a lost worker is known to be lost, and another is there instead."""
    now = set(client.scheduler_info()["workers"])
    return now != before and len(now) == len(before)


@pytest.mark.dask_awkward
def test_a_worker_that_is_killed_while_it_reads_changes_nothing(
    cluster, service, submit, inputs, tmp_path, until
):
    request_id = submit(inputs)
    events = sxl.from_servicex(request_id, form=FORM)
    began = tmp_path / "began"
    futures = cluster.compute(events.x.map_partitions(_die_once, str(began)).to_delayed())
    for index in (1, 3, 0, 2):
        service.release(request_id, index)
    assert [part[0] for part in cluster.gather(futures)] == [100, 300, 0, 200]
    assert began.exists()


def _die_once(partition, path):
    """End the worker in the middle of a partition, the first time."""
    if (partition is None) or not partition.layout.backend.nplike.known_data:
        return partition
    try:
        with open(path, "x"):  # noqa: PTH123  (one who makes the file is enough)
            pass
    except FileExistsError:
        return partition
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
    return partition


@pytest.mark.dask_awkward
def test_a_worker_that_joins_later_is_served_too(lone_worker, service, submit, inputs, until):
    request_id = submit(inputs)
    events = sxl.from_servicex(request_id, form=FORM)
    lone_worker.cluster.scale(3)
    until(lambda: len(lone_worker.scheduler_info()["workers"]) == 3)
    futures = lone_worker.compute(events.x.to_delayed())
    service.release(request_id, 0, 1, 2, 3)
    assert sorted(part[0] for part in lone_worker.gather(futures)) == [0, 100, 200, 300]


@pytest.mark.dask_awkward
@pytest.mark.parametrize("workers", [1, 4])
def test_the_backend_sees_one_poller_however_many_workers_wait(
    workers, service, submit, inputs, until
):
    request_id = submit(inputs)
    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
        dask.config.set({"servicex-layer.poll-interval": "1h"}),
    ):
        events = sxl.from_servicex(request_id, form=FORM)
        service.traffic.reset()
        futures = client.compute(events.x.to_delayed())
        until(lambda: waiting_tasks(client) == len(inputs))
        until(lambda: service.traffic.calls["info"])
        assert service.traffic.calls["status"] == 1
        assert service.traffic.calls["results"] == 0, "the counters say that there is none"
        client.cancel(futures)


@pytest.mark.dask_awkward
def test_a_worker_is_told_of_each_file_once_beside_what_it_asks_for(
    lone_worker, finished, inputs, monkeypatch
):
    scheduler = lone_worker.cluster.scheduler
    send, sent = scheduler.worker_send, []

    def note_and_send(worker, message):
        if message["op"] == "servicex_answer":
            sent.extend(unpack_batch(message["batch"]))
        send(worker, message)

    monkeypatch.setattr(scheduler, "worker_send", note_and_send)
    sxl.register(lone_worker)
    assert firsts(by_hand(finished(inputs), 4)) == [0, 1, 2, 3]
    assert sorted(file.number for file in sent) == [0, 1, 2, 3]


@pytest.mark.dask_awkward
def test_a_request_has_one_list_by_whatever_name_its_backend_goes(
    lone_worker, service, finished, inputs
):
    request_id = finished(inputs)
    sxl.register(lone_worker)
    service.traffic.reset()
    named = sxl.from_servicex(request_id, form=FORM)
    assert firsts(named) == firsts(by_hand(request_id, 4)) == [0, 1, 2, 3]
    # One of from_servicex, one of the list.
    assert service.traffic.calls["status"] == 2


@pytest.mark.dask_awkward
@pytest.mark.parametrize("enough", [False, True])
def test_dask_can_read_a_partition_again(cluster, service, finished, inputs, enough):
    cluster.run(dask.config.set, {"servicex-layer.retry-timeout": 0})
    events = sxl.from_servicex(finished(inputs), form=FORM)
    with (
        service.inject(HttpFault(route="file", ending="input-2.root", status=503, first=2)),
        nullcontext() if enough else pytest.raises(MissingObjectError),
    ):
        assert len(events.x.compute(retries=2 if enough else 1)) == 40


# Credentials


@pytest.mark.dask_awkward
def test_workers_need_no_configuration(cluster, service, finished, inputs):
    assert not any(cluster.run(_config_path).values())
    sxl.register(cluster)
    assert firsts(by_hand(finished(inputs), 4)) == [0, 1, 2, 3]


def _config_path():
    return os.environ.get("DASK_SERVICEX_LAYER__CONFIG_PATH") or dask.config.get(
        "servicex-layer.config-path", None
    )


@pytest.mark.dask_awkward
def test_registering_again_changes_nothing(cluster, service, submit, inputs, until):
    request_id = submit(inputs)
    sxl.register(cluster)
    futures = cluster.compute(by_hand(request_id, 4).x.to_delayed())
    until(lambda: waiting_tasks(cluster) == 4)
    sxl.register(cluster)
    sxl.register(cluster, "local")
    service.release(request_id, 3, 2, 1, 0)
    assert len(cluster.gather(futures)) == 4


@pytest.mark.dask_awkward
def test_a_backend_that_was_not_registered_is_registered_when_its_graph_is_sent(
    cluster, service, finished, inputs
):
    assert firsts(by_hand(finished(inputs), 4)) == [0, 1, 2, 3]


def test_register_without_a_client_or_with_an_unknown_backend(service):
    with pytest.raises(InvalidArgumentError, match="no Dask client"):
        sxl.register()
    with (
        Client(n_workers=0, processes=False, dashboard_address=":0") as client,
        pytest.raises(UnknownBackendError, match="local"),
    ):
        sxl.register(client, "elsewhere")


@pytest.mark.dask_awkward
def test_no_token_is_in_a_graph_or_a_repr(cluster, service, submit, inputs):
    token = service.servicex_yaml.read_text().partition("token: ")[2].split()[0]
    events = sxl.from_servicex(submit(inputs), form=FORM)
    plugin = cluster.cluster.scheduler.plugins["servicex-layer"]
    shown = [repr(vars(plugin)), repr(events.dask), repr(dict(events.dask))]
    assert token not in "".join(shown)
    assert token.encode() not in pickle.dumps(events.dask)


@pytest.fixture
def change_token(service, tmp_path):
    """Have a servicex.yaml whose token can be changed."""
    path = tmp_path / "servicex.yaml"
    text = service.servicex_yaml.read_text()
    good = text.partition("token: ")[2].split()[0]

    def change(token):
        path.write_text(text.replace(good, token or good))

    with dask.config.set({"servicex-layer.config-path": str(path)}):
        yield change


@pytest.mark.dask_awkward
@pytest.mark.parametrize("scheduler", ["threads", "cluster_of_processes"], indirect=True)
def test_a_new_token_reaches_what_is_followed_already(
    scheduler, service, submit, inputs, change_token
):
    request_id = submit(inputs)
    events = by_hand(request_id, 4)

    def register():
        if scheduler.startswith("cluster"):
            sxl.register()

    change_token(None)
    register()
    service.release(request_id, 2)
    assert events.x.partitions[0].compute()[0] == 200
    change_token("a.bad.token")
    register()
    service.release(request_id, 1)
    with pytest.raises(AuthorizationError, match="rejected the refresh token"):
        events.x.partitions[1].compute()
    change_token(None)
    register()
    service.release(request_id, 0, 3)
    assert firsts(events) == [2, 1, 0, 3], "the numbers that were given out stay"


# Without a registration


@pytest.mark.dask_awkward
def test_a_cluster_that_is_not_registered_is_an_error_that_says_what_to_await(
    nothing_left, service, finished, inputs
):
    request_id = finished(inputs)

    async def compute():
        async with (
            LocalCluster(
                n_workers=1, processes=False, dashboard_address=":0", asynchronous=True
            ) as cluster,
            Client(cluster, asynchronous=True) as client,
        ):
            with pytest.raises(ConfigError, match=r"await servicex_layer\.register\(client\)"):
                await client.compute(by_hand(request_id, 4).x)
            await sxl.register(client)
            # With another number of partitions the tasks have other keys than those that failed.
            return await client.compute(by_hand(request_id, 5).x)

    assert asyncio.run(compute()).tolist() == all_x(inputs)


# Ends


@pytest.mark.dask_awkward
def test_cancelled_futures_stop_waiting_and_polling(cluster, service, submit, inputs, until):
    events = sxl.from_servicex(submit(inputs), form=FORM)
    futures = cluster.compute(events.x.to_delayed())
    until(lambda: waiting_tasks(cluster) == 4)
    cluster.cancel(futures)
    assert_at_rest(cluster, until)


@pytest.mark.dask_awkward
def test_a_closed_client_stops_waiting_and_polling(cluster, service, submit, inputs, until):
    with Client(cluster.cluster) as other:
        events = sxl.from_servicex(submit(inputs), form=FORM)
        futures = other.compute(events.x.to_delayed())
        until(lambda: waiting_tasks(cluster) == 4)
        del futures
    assert_at_rest(cluster, until)


def assert_at_rest(client, until):
    plugin = client.cluster.scheduler.plugins["servicex-layer"]
    until(lambda: plugin.is_idle)
    until(lambda: not any(client.run(_seceded).values()))


def _seceded(dask_worker):
    return len(dask_worker.plugins["servicex-layer-seceded-waits"].futures)


@pytest.mark.dask_awkward
def test_a_task_that_is_wanted_again_while_it_is_cancelled_gets_its_file(
    cluster, service, submit, inputs, until
):
    request_id = submit(inputs)
    events = sxl.from_servicex(request_id, form=FORM)
    for _ in range(3):
        futures = cluster.compute(events.x.to_delayed())
        until(lambda: waiting_tasks(cluster) == 4)
        del futures
    futures = cluster.compute(events.x.to_delayed())
    service.release(request_id, 0, 1, 2, 3)
    assert sorted(part[0] for part in cluster.gather(futures)) == [0, 100, 200, 300]


@pytest.mark.dask_awkward
def test_threads_that_wait_end_when_their_computation_fails(service, submit, inputs, until):
    request_id = submit(inputs)
    events = sxl.from_servicex(request_id, form=FORM)
    service.release(request_id, 0)
    with pytest.raises(ZeroDivisionError):
        events.x.map_partitions(_fail).compute(scheduler="threads", num_workers=3)
    until(lambda: not asyncio.all_tasks(loop_thread().loop))


def _fail(partition):
    if partition.layout.backend.nplike.known_data:
        raise ZeroDivisionError
    return partition


@pytest.mark.dask_awkward
def test_ctrl_c_ends_the_wait(service, submit, inputs, until):
    events = sxl.from_servicex(submit(inputs), form=FORM)
    for scheduler in ("sync", "threads"):
        service.traffic.reset()
        threading.Thread(
            target=lambda: (until(lambda: service.traffic.calls["status"]), _interrupt())
        ).start()
        with pytest.raises(KeyboardInterrupt):
            events.x.compute(scheduler=scheduler)
        until(lambda: not asyncio.all_tasks(loop_thread().loop))


def _interrupt():
    press_ctrl_c()


@pytest.mark.dask_awkward
@pytest.mark.every_scheduler
def test_timeout_bounds_the_wait_for_the_next_file(scheduler, service, submit, inputs, monkeypatch):
    monkeypatch.setenv("DASK_SERVICEX_LAYER__TIMEOUT", "200ms")
    with dask.config.set({"servicex-layer.timeout": "200ms"}):
        request_id = submit(inputs)
        events = sxl.from_servicex(request_id, form=FORM)
        with pytest.raises(WaitTimeoutError, match=rf"{request_id}.*Running: 0 of 4 files"):
            events.x.compute()
