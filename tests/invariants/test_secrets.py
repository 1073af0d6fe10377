"""A computation leaves no token, store key or signed URL behind."""

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
from wire_faults import (  # type: ignore[import-not-found]
    Answer,
    Cut,
    HangUp,
    WireFault,
    WireFaults,
    redirect,
)

import servicex_layer as sxl
from servicex_layer.errors import InsecureClusterWarning, ServiceXLayerError
from servicex_layer.feed._register import _warn_if_readable
from servicex_layer.local import Faults, LocalServiceX

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
def guarded(request, use_service, guarded_faults):
    """Start a service with every kind of secret, and a failing file."""
    with LocalServiceX(
        authentication=True,
        store="s3" if request.param == "s3" else None,
        file_headers={"X-Secret": HEADER},
        faults=Faults(failing=frozenset({3})),
        middleware=guarded_faults.middleware,
    ) as service:
        use_service(service)
        yield service


@pytest.fixture
def guarded_faults():
    """Make faults happen to calls of `guarded`."""
    return WireFaults()


@pytest.fixture
def secrets(guarded):
    """Return a pattern of all secrets: those of the service, and everything that looks alike."""
    literal = [refresh_token(guarded), HEADER]
    if guarded.store is not None:
        # The access key is no secret: it goes into signed URLs.
        literal.append(guarded.store.secret_key)
    patterns = [re.escape(secret) for secret in literal]
    patterns += [r"eyJ[\w-]{8,}\.eyJ[\w-]{8,}", r"[Ss]ignature=[0-9a-f]{16}"]
    return re.compile("|".join(patterns).encode())


def refresh_token(service):
    return service.servicex_yaml.read_text().partition("token: ")[2].split()[0]


def log_everything(path):
    """Write every log record of this process, of all libraries, to a file."""
    handler = logging.FileHandler(path)
    handler.setLevel(logging.DEBUG)
    for name in (None, *logging.root.manager.loggerDict):
        logging.getLogger(name).setLevel(logging.DEBUG)
    for name in (None, "distributed"):
        logging.getLogger(name).addHandler(handler)
    return handler


def log_everything_on_worker(path):
    """Call `log_everything` on a worker, without returning its handler: it has no pickle."""
    log_everything(path)


def stop_logging(handler):
    for name in (None, "distributed"):
        logging.getLogger(name).removeHandler(handler)
    handler.close()


@pytest.fixture
def logged(tmp_path):
    levels = {name: logging.getLogger(name).level for name in logging.root.manager.loggerDict}
    root = logging.root.level
    handler = log_everything(tmp_path / f"log-{os.getpid()}")
    yield
    stop_logging(handler)
    logging.root.setLevel(root)
    for name in logging.root.manager.loggerDict:
        logging.getLogger(name).setLevel(levels.get(name, logging.NOTSET))


@pytest.mark.dask_awkward
def test_a_computation_leaves_no_secret_behind(
    guarded, guarded_faults, secrets, inputs, tmp_path, logged, capfd
):
    left = {}
    bounds = {"servicex-layer.retry-timeout": "300ms", "servicex-layer.timeout": "10s"}
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
            client.run(log_everything_on_worker, path, workers=[address])
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
        left["errors"] = b"".join(errors(guarded, guarded_faults, inputs))
        left["events"] = repr(client.get_events()).encode()
        left["logs"] = repr([client.get_scheduler_logs(), client.get_worker_logs()]).encode()
        left["plugin"] = repr(vars(cluster.scheduler.plugins["servicex-layer"])).encode()
        left["stacks"] = repr(client.call_stack()).encode()
        left["pages"] = b"".join(pages(cluster))
    left["warnings"] = "\n".join(str(record.message) for record in warned).encode()
    assert b"1 of 4 files failed" in left["warnings"]
    left["output"] = "".join(capfd.readouterr()).encode()
    for path in filter(Path.is_file, tmp_path.rglob("*")):
        left[str(path)] = path.read_bytes()
    assert len([name for name in left if "/log-" in name]) == 3
    assert secrets.search(guarded.servicex_yaml.read_bytes()), "the only place with a secret"
    found = {name: secrets.findall(content)[:3] for name, content in left.items()}
    assert not {name: matches for name, matches in found.items() if matches}


def errors(service, guarded_faults, inputs):
    """Make each use of a secret fail, and yield the content of the errors."""
    faults = [
        WireFault(route="file", effect=Answer(403)),
        WireFault(route="file", effect=HangUp()),
        WireFault(route="file", effect=Cut(10)),
        WireFault(route="status", effect=Answer(500)),
        WireFault(route="results", effect=Answer(401)),
        WireFault(route="results", effect=HangUp()),
        WireFault(route="file-urls", effect=Answer(body='{"uris": 5}')),
        WireFault(route="file-urls", effect=redirect("http://far.example/?signature=" + 20 * "a")),
        WireFault(route="token", effect=Answer(401)),
    ]
    count = 0
    for fault in faults:
        request_id = service.submit(inputs[:1], tree="events", manual=True)
        service.release(request_id, 0)
        events = sxl.from_servicex(request_id, form=FORM)
        if service.store is not None and fault.route == "file":
            remove_results(service.store, request_id)
        with guarded_faults.inject(fault):
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
    for entry in client.list_objects(request_id):
        client.remove_object(request_id, entry.object_name)


def pages(cluster):
    """Read the pages of the dashboards."""
    port = cluster.scheduler.services["dashboard"].port
    pages_read = 0
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as dashboard:
        tasks = [f"/info/task/{key}.html" for key in map(str, cluster.scheduler.tasks)]
        for page in (*PAGES, *tasks):
            answer = dashboard.get(page)
            pages_read += answer.status_code == 200
            yield answer.content
    assert pages_read > 5


def test_only_the_owner_can_read_servicex_yaml(guarded):
    assert stat.S_IMODE(guarded.servicex_yaml.stat().st_mode) == 0o600


# On the way to the cluster


def test_a_token_sent_unencrypted_is_one_warning():
    for address in ("inproc://1", "tls://192.0.2.1:1", "tcp://127.0.0.1:1", "tcp://[::1]:1"):
        _warn_if_readable(address)
    with pytest.warns(InsecureClusterWarning, match=r"tcp://192\.0\.2\.7:8786 unencrypted.*TLS"):
        _warn_if_readable("tcp://192.0.2.7:8786")
    _warn_if_readable("tcp://192.0.2.7:8786")


def test_registering_with_an_unencrypted_cluster_warns(service):
    addresses = [
        address.address
        for addresses_of_card in psutil.net_if_addrs().values()
        for address in addresses_of_card
        if address.family == socket.AF_INET
    ]
    address = next((text for text in addresses if not text.startswith("127.")), None)
    if address is None:
        pytest.skip("this machine has no network but its loopback")
    with (
        LocalCluster(n_workers=0, host=address, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        with pytest.warns(InsecureClusterWarning, match=address):
            sxl.register(client)
        sxl.register(client)


@pytest.mark.dask_awkward
def test_a_cluster_can_use_tls(service, finished, inputs):
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


@pytest.mark.dask_awkward
def test_no_file_is_left_in_the_working_directory(service, finished, inputs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sxl.from_servicex(finished(inputs), form=FORM).x.compute()
    assert list(Path(tmp_path).iterdir()) == []
