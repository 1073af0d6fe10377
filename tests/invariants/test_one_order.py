"""Invariant 3 with real parts: computations of one array number the files alike, wherever."""

from __future__ import annotations

import contextlib
import pickle

import awkward as ak
import dask
import numpy as np
import pytest
from dask.base import compute, persist
from distributed import Client, LocalCluster
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import servicex_layer as sxl
from servicex_layer.errors import CompletionOrderError
from servicex_layer.local import Faults, LocalServiceX

pytestmark = pytest.mark.dask_awkward

COUNT = 12
FORM = "{event: int64, x: float64}"
# What Dask says of a local scheduler beside a client; it is what these tests are about.
beside_a_client = pytest.mark.filterwarnings("ignore:Running on a single-machine scheduler")


@pytest.fixture(scope="module")
def numbered(tmp_path_factory, write_file):
    """Files of equal length, so that no length shows that files were mixed up."""
    directory = tmp_path_factory.mktemp("numbered")
    return [
        write_file(
            directory / f"{index}.root",
            events={"event": np.arange(5) + 10 * index, "x": np.arange(5.0) + 10 * index},
        )
        for index in range(COUNT)
    ]


@pytest.fixture(scope="module")
def late_service(nothing_left):
    """A service whose rows become visible out of the order of their times."""
    faults = Faults(late=0.5, late_by=2.0)
    with LocalServiceX(delay=0.1, parallelism=4, seed=3, faults=faults) as service:
        yield service


@pytest.fixture
def submit_late(late_service, use_service, numbered):
    """Submit a request whose order is not that of its times; give its array."""
    use_service(late_service)

    def submit():
        return sxl.from_servicex(late_service.submit(numbered, tree="events"), form=FORM)

    return submit


@pytest.fixture
def on(request):
    """Compute on a scheduler, which is left with its client closed."""

    @contextlib.contextmanager
    def on(name):
        if name.startswith("cluster"):
            with Client(request.getfixturevalue(name)):
                yield
        else:
            with dask.config.set(scheduler=name):
                yield

    return on


# Each of them first and second; `processes` starts slowly, so less often.
PAIRS = [
    ("sync", "threads"),
    ("sync", "cluster_of_threads"),
    ("threads", "cluster_of_processes"),
    ("threads", "processes"),
    ("cluster_of_threads", "sync"),
    ("cluster_of_threads", "cluster_of_processes"),
    ("cluster_of_processes", "threads"),
    ("cluster_of_processes", "cluster_of_threads"),
    ("processes", "cluster_of_processes"),
]


@pytest.mark.parametrize(("first", "second"), PAIRS, ids=map("-then-".join, PAIRS))
def test_two_schedulers_one_after_the_other(first, second, submit_late, on):
    array = submit_late()
    with on(first):
        event = array.event.compute()
    with on(second):
        x = array.x.compute()
    assert x.tolist() == event.tolist()


@beside_a_client
@pytest.mark.parametrize("local", ["sync", "threads", "processes"])
def test_a_local_scheduler_beside_an_active_client(local, submit_late, on):
    with on("cluster_of_processes"):
        array = submit_late()
        half = array.partitions[: COUNT // 2]
        before = half.event.compute(scheduler=local)
        event = array.event.compute()
        x = array.x.compute(scheduler=local)
    assert x.tolist() == event.tolist()
    assert event.tolist()[: len(before)] == before.tolist()


def test_values_that_were_persisted_locally_go_with_those_of_a_cluster(submit_late, on):
    array = submit_late()
    (event,) = persist(array.event, scheduler="threads")
    with on("cluster_of_processes"):
        assert ak.sum(abs(array.x - event)).compute() == 0


@beside_a_client
def test_values_that_a_cluster_persisted_go_with_those_of_a_local_scheduler(submit_late, on):
    array = submit_late()
    with on("cluster_of_processes"):
        event = array.event.persist()
        computed = event.compute()
        x = array.x.compute(scheduler="sync")
    assert x.tolist() == computed.tolist()


def test_divisions_that_were_computed_locally_hold_on_a_cluster(submit_late, on):
    array = submit_late()
    with on("threads"):
        array.eager_compute_divisions()
        event = array.event.compute()
    with on("cluster_of_processes"):
        assert array.event[12:31].compute().tolist() == event[12:31].tolist()


def test_an_array_that_is_older_than_the_client_is_followed_by_the_cluster(submit_late, on):
    array = submit_late()
    with on("cluster_of_processes"):
        parts = compute(*array.event.to_delayed())
        again = compute(*array.x.to_delayed())
    assert [part.tolist() for part in again] == [part.tolist() for part in parts]


def test_processes_take_the_same_files_before_and_after(submit_late):
    array = submit_late()
    with dask.config.set(scheduler="processes"):
        few = array.partitions[:3].event.compute()
        event = array.event.compute()
        again = array.partitions[:3].x.compute()
    assert event.tolist()[: len(few)] == few.tolist() == again.tolist()


def test_a_pickled_array_has_the_order_of_the_session_that_computes_it(submit_late, on):
    array = submit_late()
    with on("threads"):
        event = array.event.compute()
    copy = pickle.loads(pickle.dumps(array))  # noqa: S301  (our own)
    with on("cluster_of_processes"):
        assert copy.x.compute().tolist() == event.tolist()


def test_a_cluster_with_another_order_is_an_error_that_names_both(
    nothing_left, service, submit, inputs
):
    request_id = submit(inputs)
    form = "{x: float64, n: int32, v: var * float64}"
    array = sxl.from_servicex(request_id, form=form)
    service.release(request_id, 2)
    assert array.x.partitions[0].compute(scheduler="sync")[0] == 200
    with LocalCluster(n_workers=1, processes=False, dashboard_address=":0") as cluster:
        # A client of another session has the files numbered by this cluster.
        plugin_of_other_session(cluster, request_id, service)
        with (
            Client(cluster),
            pytest.raises(
                CompletionOrderError, match=r"numbers in the cluster at .* in this process"
            ),
        ):
            array.x.partitions[0].compute()
    service.release(request_id, 0, 1, 3)


@beside_a_client
@settings(deadline=None, max_examples=5, suppress_health_check=list(HealthCheck))
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["sync", "threads", "cluster_of_threads", "cluster_of_processes"]),
            st.sampled_from(["event", "x"]),
            st.integers(1, COUNT),
        ),
        min_size=2,
        max_size=5,
    )
)
def test_any_interleaving_of_computations_schedulers_and_clusters(submit_late, on, steps):
    array = submit_late()
    parts: list[list[float]] = []
    for scheduler, column, npartitions in steps:
        with on(scheduler):
            found = compute(*array[column].to_delayed()[:npartitions])
        values = [part.tolist() for part in found]
        common = min(len(parts), len(values))
        assert values[:common] == parts[:common]
        parts = max(parts, values, key=len)
    assert len({tuple(part) for part in parts}) == len(parts), "no file was read twice"


def plugin_of_other_session(cluster, request_id, service):
    """Give the cluster's list an order of its own, as another user's session may have."""
    with Client(cluster) as client:
        sxl.register(client)

        def extend(dask_scheduler, url):
            from servicex_layer.feed._order import digest

            plugin = dask_scheduler.plugins["servicex-layer"]
            feed = plugin._feed({"request_id": request_id, "backend": url})
            feed.extend_order(digest("another-file.root"))

        client.run_on_scheduler(extend, url=service.url)


# Backends


@pytest.mark.parametrize("name", ["local", None])
def test_users_whose_backends_share_a_name_get_each_their_own(
    name, nothing_left, use_service, numbered, cluster_of_processes
):
    with LocalServiceX() as first, LocalServiceX() as second:
        arrays = []
        with Client(cluster_of_processes) as client:
            for service, files in ((first, numbered[:2]), (second, numbered[2:5])):
                use_service(service)
                request_id = service.submit(files, tree="events")
                array = sxl.from_servicex(request_id, name, form=FORM)
                arrays.append((service, array, len(files)))
            for service, array, count in arrays:
                # Each user's own configuration is what their client's process has.
                use_service(service)
                assert len(client.compute(array.x).result(timeout=60)) == 5 * count


# Forgetting


def test_the_scheduler_forgets_an_idle_request_and_keeps_its_order(submit_late, on, until):
    with (
        dask.config.set({"servicex-layer.forget-after": "200ms"}),
        LocalCluster(n_workers=1, dashboard_address=":0") as cluster,
        Client(cluster),
    ):
        array = submit_late()
        event = array.event.compute()
        plugin = cluster.scheduler.plugins["servicex-layer"]
        assert plugin.n_feeds == 1
        until(lambda: plugin.n_feeds == 0)
        assert array.x.compute().tolist() == event.tolist()
        until(lambda: plugin.n_feeds == 0)
