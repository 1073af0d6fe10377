from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from distributed import Client, Event, LocalCluster, get_worker

from servicex_layer.feed import wait_seceded, worker_loop


@pytest.fixture
def client(nothing_left: None) -> Iterator[Client]:
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        yield client


async def wait_for_event(name: str) -> str:
    worker = get_worker()
    event: Any = Event(name)
    assert await wait_seceded(worker, name, event.wait())
    return "the event is set"


def test_a_wait_holds_no_slot(client: Client):
    waits = [client.submit(wait_for_event, name, key=name) for name in ("one", "two")]
    assert client.submit(sum, [1, 2]).result(timeout=30) == 3
    for name in ("two", "one"):
        Event(name).set()
    assert client.gather(waits) == ["the event is set"] * 2


def pending_waits(dask_worker: Any) -> int:
    return len(dask_worker.plugins["servicex-layer-seceded-waits"].futures)


def test_a_cancelled_task_ends_its_wait(client: Client, until: Any):
    future = client.submit(wait_for_event, "never", key="never")
    until(lambda: "servicex-layer-seceded-waits" in client.run(plugins_of).popitem()[1])
    until(lambda: client.run(pending_waits).popitem()[1] == 1)
    client.cancel(future)
    until(lambda: client.run(pending_waits).popitem()[1] == 0)


def plugins_of(dask_worker: Any) -> list[str]:
    return list(dask_worker.plugins)


async def is_worker_loop() -> bool:
    return worker_loop(get_worker()) is asyncio.get_running_loop()


def test_the_worker_loop_is_the_one_that_coroutines_run_in(client: Client):
    assert client.submit(is_worker_loop).result(timeout=30)
