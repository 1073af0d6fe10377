"""A Dask cluster of processes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dask
from distributed import Client, LocalCluster

from servicex_layer._model import FILE_LAYER


@contextmanager
def cluster_of(workers: int) -> Iterator[Client]:
    """Run a cluster of worker processes with one thread each."""
    with (
        # Dask's profiler can stop a worker for good on Python 3.11: dask/distributed#8616.
        dask.config.set({"distributed.worker.profile.enabled": False}),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def waiting_tasks(client: Client) -> int:
    """Count the tasks on the workers that wait for a file and hold no thread."""
    count: int = client.run_on_scheduler(_waiting_tasks)
    return count


def _waiting_tasks(dask_scheduler: Any) -> int:
    return sum(
        task.prefix.name == FILE_LAYER
        for worker in dask_scheduler.workers.values()
        for task in worker.long_running
    )
