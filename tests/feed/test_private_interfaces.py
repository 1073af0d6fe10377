"""What `servicex_layer.feed` uses of other libraries and they don't document: one test for each.

Three more have a test that shows what they are for: `SecedeEvent` and the worker's event loop in
``test_wait_on_worker.py``, and `threading._register_atexit` in ``test_loop_thread.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from dask.callbacks import Callback
from dask.threaded import get
from dask.typing import Key
from distributed import Client, LocalCluster, Scheduler, Worker

from servicex_layer.feed import _cluster, _scheduler_plugin, _wait_in_thread, _worker_plugin

Until = Callable[[Callable[[], object]], None]


@pytest.fixture
def cluster() -> Iterator[LocalCluster]:
    """Run a cluster in this process, so that a test can see what its parts receive."""
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0"
    ) as cluster:
        yield cluster


@pytest.fixture
def client(cluster: LocalCluster) -> Iterator[Client]:
    with Client(cluster) as client:
        yield client


def scheduler_of(cluster: LocalCluster) -> Scheduler:
    scheduler = cluster.scheduler
    assert isinstance(scheduler, Scheduler)
    return scheduler


def worker_of(cluster: LocalCluster) -> Worker:
    (worker,) = cluster.workers.values()
    assert isinstance(worker, Worker)
    return worker


def run(client: Client, function: Callable[[], Any]) -> Any:
    """Call a function in the cluster's event loop."""

    async def call() -> Any:
        return function()

    return client.sync(call)


def test_the_scheduler_can_send_to_a_client(client: Client, cluster: LocalCluster, until: Until):
    received: list[int] = []

    def receive(number: int) -> None:
        received.append(number)

    _cluster._stream_handlers(client)["servicex_test"] = receive
    message = {"op": "servicex_test", "number": 1}
    send = _scheduler_plugin._send_to_client
    assert run(client, lambda: send(scheduler_of(cluster), client.id, message))
    until(lambda: received == [1])


def test_a_worker_is_not_taken_for_a_client(client: Client, cluster: LocalCluster):
    address = worker_of(cluster).address
    send = _scheduler_plugin._send_to_client
    assert not run(client, lambda: send(scheduler_of(cluster), address, {"op": "servicex_test"}))


def test_a_client_can_send_to_the_scheduler(client: Client, cluster: LocalCluster, until: Until):
    received: list[tuple[str, int]] = []

    def receive(client: str, number: int) -> None:
        received.append((client, number))

    scheduler_of(cluster).stream_handlers["servicex_test"] = receive
    _cluster._send_to_scheduler(client, {"op": "servicex_test", "number": 1})
    until(lambda: received == [(client.id, 1)])


def test_a_worker_can_send_to_the_scheduler(client: Client, cluster: LocalCluster, until: Until):
    received: list[tuple[str, int]] = []

    def receive(worker: str, number: int) -> None:
        received.append((worker, number))

    scheduler_of(cluster).stream_handlers["servicex_test"] = receive
    worker, message = worker_of(cluster), {"op": "servicex_test", "number": 1}
    run(client, lambda: _worker_plugin._send_to_scheduler(worker, message))
    until(lambda: received == [(worker.address, 1)])


def test_a_client_that_has_reconnected_has_another_stream(
    client: Client, cluster: LocalCluster, until: Until
):
    stream = _cluster._stream_to_scheduler(client)
    assert stream is not None
    assert _cluster._stream_to_scheduler(client) is stream
    run(client, scheduler_of(cluster).client_comms[client.id].abort)
    until(lambda: _cluster._stream_to_scheduler(client) not in (None, stream))


def test_a_waiting_task_is_forgiven_lost_workers_and_no_other_task(
    client: Client, cluster: LocalCluster
):
    scheduler = scheduler_of(cluster)
    keys: list[Key] = [(f"servicex-file-{'0' * 32}", 0), "another-task"]
    futures = [client.submit(int, key=key) for key in keys]
    assert client.gather(futures) == [0, 0]

    def forgive() -> list[int]:
        for key in keys:
            assert scheduler.tasks[key].suspicious == 0
            scheduler.tasks[key].suspicious = 2
        _scheduler_plugin._forgive_waiting_tasks(scheduler)
        return [scheduler.tasks[key].suspicious for key in keys]

    assert run(client, forgive) == [0, 2]


def test_a_local_scheduler_shows_the_tasks_that_can_start():
    ready: list[object] = []

    def start(_: object, state: dict[str, Any]) -> None:
        ready.extend(_wait_in_thread._ready_tasks(state))

    with Callback(start_state=start):
        get({"first": (int,), "second": (int,), "later": (max, "first", "second")}, "later")
    assert sorted(map(str, ready)) == ["first", "second"]
