"""Nothing that a computation leaves behind holds a token, a key of a store or a signed URL."""

from __future__ import annotations

import logging
import os
import pickle
import re
import socket
import stat
import traceback
import warnings
from pathlib import Path

import dask
import httpx
import psutil  # type: ignore[import-untyped]
import pytest
from dask.base import compute
from distributed import Client, LocalCluster, Security

import servicex_layer as sxl
from servicex_layer.errors import InsecureClusterWarning, ServiceXLayerError
from servicex_layer.feed._register import _warn_if_readable
from servicex_layer.local import Faults, HttpFault, LocalServiceX

FORM = "{x: float64, n: int32, v: var * float64}"
HEADER = "a-header-that-is-secret"
PAGES = (
    "/status",
    "/workers",
    "/tasks",
    "/system",
    "/graph",
    "/groups",
    "/events",
    "/info/main/workers.html",
    "/info/logs.html",
    "/info/main/exceptions.html",
    "/json/counts.json",
    "/json/identity.json",
    "/metrics",
)


@pytest.fixture(params=["file-urls", "s3"])
def guarded(request, use_service):
    """Give a service with every secret that there is, and two failing files."""
    with LocalServiceX(
        authentication=True,
        store="s3" if request.param == "s3" else None,
        file_headers={"X-Secret": HEADER},
        faults=Faults(failing=frozenset({3})),
    ) as service:
        use_service(service)
        yield service


@pytest.fixture
def secrets(guarded):
    """Give what must not be found: literally, or what any of its kind looks like."""
    literal = [refresh_token(guarded), HEADER]
    if guarded.store is not None:
        # Its access key is a word that is everywhere.
        literal.append(guarded.store.secret_key)
    patterns = [re.escape(one) for one in literal]
    patterns += [r"eyJ[\w-]{8,}\.eyJ[\w-]{8,}", r"[Ss]ignature=[0-9a-f]{16}"]
    return re.compile("|".join(patterns).encode())


def refresh_token(service):
    return service.servicex_yaml.read_text().partition("token: ")[2].split()[0]


def log_everything(path):
    """Write every log record of this process to a file, from whatever library."""
    handler = logging.FileHandler(path)
    handler.setLevel(logging.DEBUG)
    for name in (None, *logging.root.manager.loggerDict):
        logging.getLogger(name).setLevel(logging.DEBUG)
    for name in (None, "distributed"):
        logging.getLogger(name).addHandler(handler)
    return handler


def log_everything_there(path):
    """Do so on a worker, which cannot hand its handler over."""
    log_everything(path)


def quiet(handler):
    for name in (None, "distributed"):
        logging.getLogger(name).removeHandler(handler)
    handler.close()


@pytest.fixture
def logged(tmp_path):
    levels = {name: logging.getLogger(name).level for name in logging.root.manager.loggerDict}
    root = logging.root.level
    handler = log_everything(tmp_path / f"log-{os.getpid()}")
    yield
    quiet(handler)
    logging.root.setLevel(root)
    for name in logging.root.manager.loggerDict:
        logging.getLogger(name).setLevel(levels.get(name, logging.NOTSET))


def test_nothing_that_is_left_holds_a_secret(guarded, secrets, inputs, tmp_path, logged, capfd):
    left = {}
    bounds = {"servicex-layer.retry-timeout": "300ms", "servicex-layer.timeout": "2s"}
    with (
        dask.config.set(bounds),
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            dashboard_address=":0",
            local_directory=str(tmp_path / "workers"),
        ) as cluster,
        Client(cluster) as client,
        warnings.catch_warnings(record=True) as warned,
    ):
        warnings.simplefilter("always")
        for address in client.scheduler_info()["workers"]:
            path = str(tmp_path / f"log-{address.rpartition(':')[2]}")
            client.run(log_everything_there, path, workers=[address])
        request_id = guarded.submit(inputs, tree="events", manual=True)
        events, report = sxl.from_servicex(request_id, form=FORM, report=True)
        left["graph"] = pickle.dumps(events.dask) + repr(dict(events.dask)).encode()
        left["repr"] = repr([events, events.dask, *events.dask.layers.values()]).encode()
        left["html"] = events.dask._repr_html_().encode()
        futures = client.compute([events.x, report])
        guarded.release(request_id, 0, 1, 2, 3)
        array, records = client.gather(futures)
        assert len(array) == 30
        left["report"] = str(records.to_list()).encode()
        left["errors"] = b"".join(errors(guarded, inputs))
        left["events"] = repr(client.get_events()).encode()
        left["logs"] = repr([client.get_scheduler_logs(), client.get_worker_logs()]).encode()
        left["plugin"] = repr(vars(cluster.scheduler.plugins["servicex-layer"])).encode()
        left["stacks"] = repr(client.call_stack()).encode()
        left["pages"] = b"".join(pages(cluster))
    left["warnings"] = "\n".join(str(one.message) for one in warned).encode()
    assert b"1 of 4 files failed" in left["warnings"]
    left["output"] = "".join(capfd.readouterr()).encode()
    for path in (one for one in tmp_path.rglob("*") if one.is_file()):
        left[str(path)] = path.read_bytes()
    assert len([name for name in left if "/log-" in name]) == 3
    assert secrets.search(guarded.servicex_yaml.read_bytes()), "the one place where one is"
    found = {name: secrets.findall(content)[:3] for name, content in left.items()}
    assert not {name: what for name, what in found.items() if what}


def errors(service, inputs):
    """Have everything fail that uses a secret; gives all that the errors hold."""
    faults = [
        HttpFault(route="file", status=403),
        HttpFault(route="file", hang_up=True),
        HttpFault(route="file", cut=10),
        HttpFault(route="status", status=500),
        HttpFault(route="results", status=401),
        HttpFault(route="results", hang_up=True),
        HttpFault(route="file-urls", body='{"uris": 5}'),
        HttpFault(route="file-urls", redirect="http://far.example/?signature=" + 20 * "a"),
        HttpFault(route="token", status=401),
    ]
    count = 0
    for fault in faults:
        new = service.submit(inputs[:1], tree="events", manual=True)
        service.release(new, 0)
        events = sxl.from_servicex(new, form=FORM)
        if service.store is not None and fault.route == "file":
            remove_results(service.store, new)
        with service.disturbed(fault):
            try:
                compute(events.x)
            except ServiceXLayerError as error:
                count += 1
                yield "".join(traceback.format_exception(error)).encode()
                yield pickle.dumps(error)
                yield repr(vars(error)).encode()
    assert count >= 4


def remove_results(store, request_id):
    client = store.client()
    for found in client.list_objects(request_id):
        client.remove_object(request_id, found.object_name)


def pages(cluster):
    """Read the pages of the dashboards."""
    base = cluster.scheduler.services["dashboard"].port
    found = 0
    with httpx.Client(base_url=f"http://127.0.0.1:{base}", timeout=60) as dashboard:
        tasks = [f"/info/task/{key}.html" for key in map(str, cluster.scheduler.tasks)]
        for page in (*PAGES, *tasks):
            answer = dashboard.get(page)
            found += answer.status_code == 200
            yield answer.content
    assert found > 5


def test_the_servers_own_file_is_its_owners(guarded):
    assert stat.S_IMODE(guarded.servicex_yaml.stat().st_mode) == 0o600


# The way to the cluster


def test_a_token_that_others_can_read_on_its_way_is_warned_of_once():
    for address in ("inproc://1", "tls://192.0.2.1:1", "tcp://127.0.0.1:1", "tcp://[::1]:1"):
        _warn_if_readable(address)
    with pytest.warns(InsecureClusterWarning, match=r"tcp://192\.0\.2\.7:8786 unencrypted.*TLS"):
        _warn_if_readable("tcp://192.0.2.7:8786")
    _warn_if_readable("tcp://192.0.2.7:8786")


def test_who_registers_with_such_a_cluster_is_warned(service):
    found = [one for card in psutil.net_if_addrs().values() for one in card]
    others = [one.address for one in found if one.family == socket.AF_INET]
    address = next((one for one in others if not one.startswith("127.")), None)
    if address is None:
        pytest.skip("this machine has no address but its own")
    with (
        LocalCluster(n_workers=0, host=address, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        with pytest.warns(InsecureClusterWarning, match=address):
            sxl.register(client)
        sxl.register(client)


def test_a_cluster_with_tls(service, finished, inputs):
    pytest.importorskip("cryptography")
    request_id = finished(inputs)
    with (
        LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            dashboard_address=":0",
            security=Security.temporary(),
        ) as cluster,
        Client(cluster),
    ):
        assert cluster.scheduler_address.startswith("tls://")
        assert len(sxl.from_servicex(request_id, form=FORM).x.compute()) == 40


def test_no_file_is_left_beside_the_users_own(service, finished, inputs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sxl.from_servicex(finished(inputs), form=FORM).x.compute()
    assert list(Path(tmp_path).iterdir()) == []
