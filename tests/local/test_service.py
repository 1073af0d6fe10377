"""The embedded ServiceX starts, stops and cleans up, and so does the program that runs it."""

from __future__ import annotations

import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import uproot
import yaml
from click.testing import CliRunner

from servicex_layer.cli._main import main
from servicex_layer.errors import BackendUnreachableError, InvalidArgumentError, MissingExtraError
from servicex_layer.local import LocalServiceX

psutil = pytest.importorskip("psutil", reason="comes with distributed")

TRANSFORMATION = "/servicex/transformation"


def wait_until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def get_rows(service, request_id):
    answer = httpx.get(f"{service.url}{TRANSFORMATION}/{request_id}/results", trust_env=False)
    return answer.raise_for_status().json()["results"]


def read_endpoint(path):
    (endpoint,) = yaml.safe_load(path.read_text())["api_endpoints"]
    return endpoint


def is_listening(url):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(url.rpartition(":")[2]))) == 0


def test_stop_leaves_nothing_behind(source):
    threads = set(threading.enumerate())
    children = set(psutil.Process().children(recursive=True))
    service = LocalServiceX(delay=600)
    service.start()
    url, directory = service.url, service.servicex_yaml.parent
    service.submit([source] * 10, tree="events")
    idle = httpx.Client(base_url=url, trust_env=False)
    idle.get("/servicex")
    wait_until(lambda: list(directory.glob("results-*/*")))
    assert set(psutil.Process().children(recursive=True)) > children
    started = time.monotonic()
    service.stop()
    assert time.monotonic() - started < 2
    idle.close()
    assert not directory.exists()
    assert not is_listening(url)
    assert set(psutil.Process().children(recursive=True)) <= children
    wait_until(lambda: set(threading.enumerate()) <= threads, 5)


def test_stop_does_not_wait_for_a_client_that_does_not_read(tmp_path, caplog):
    big = tmp_path / "big.root"
    with uproot.recreate(big, compression=None) as file:
        file.mktree("events", {"x": np.random.default_rng(0).random(2_000_000)})
    with LocalServiceX() as service:
        request_id = service.submit([big], tree="events", manual=True)
        service.release(request_id, 0)
        with httpx.Client(base_url=service.url, trust_env=False) as client:
            (row,) = client.get(f"{TRANSFORMATION}/{request_id}/results").json()["results"]
            body = {"request_id": request_id, "file_list": [row["s3-object-name"]]}
            (uri,) = client.post(f"{TRANSFORMATION}/file-urls", json=body).json()["uris"].values()
            with client.stream("GET", uri[0]) as answer:
                assert answer.status_code == 200
                started = time.monotonic()
                service.stop()
                assert time.monotonic() - started < 2
    assert not caplog.records


def test_start_and_stop_are_idempotent(source):
    service = LocalServiceX()
    service.stop()
    assert "not running" in repr(service)
    for _ in range(2):
        service.start()
        url = service.url
        service.start()
        assert service.url == url
        assert url in repr(service)
        assert service.traffic.calls == {}
        assert httpx.get(f"{url}/servicex", trust_env=False).status_code == 200
        service.stop()
        service.stop()


def test_stop_right_after_start():
    for _ in range(5):
        with LocalServiceX() as service:
            url = service.url
        assert not is_listening(url)


@pytest.mark.parametrize(
    "use",
    [
        lambda service: service.url,
        lambda service: service.servicex_yaml,
        lambda service: service.submit(["a.root"], tree="t"),
        lambda service: service.release("a", 0),
        lambda service: service.count("a"),
    ],
)
def test_using_a_stopped_server_is_an_error(use):
    with pytest.raises(BackendUnreachableError, match="does not run"):
        use(LocalServiceX())


def test_servicex_yaml_names_the_server(tmp_path):
    with LocalServiceX(tmp_path, name="mine") as service:
        assert service.servicex_yaml == tmp_path / "servicex.yaml"
        assert read_endpoint(service.servicex_yaml) == {"name": "mine", "endpoint": service.url}
    with LocalServiceX(tmp_path, authentication=True) as service:
        assert stat.S_IMODE(service.servicex_yaml.stat().st_mode) == 0o600
        token = read_endpoint(service.servicex_yaml)["token"]
        assert token not in repr(service)
    assert not list(tmp_path.iterdir())


def test_an_existing_servicex_yaml_is_not_overwritten(tmp_path):
    mine = tmp_path / "servicex.yaml"
    mine.write_text("api_endpoints: []")
    with pytest.raises(InvalidArgumentError, match="there already"):
        LocalServiceX(tmp_path).start()
    assert mine.read_text() == "api_endpoints: []"
    assert list(tmp_path.iterdir()) == [mine]


def test_an_unusable_directory_is_an_error(tmp_path):
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(InvalidArgumentError, match="cannot be used"):
        LocalServiceX(file / "below").start()


def test_a_directory_can_have_an_odd_name(tmp_path, source):
    with LocalServiceX(tmp_path / "a b:50%") as service:
        request_id = service.submit([source], tree="events", manual=True)
        service.release(request_id, 0)
        (row,) = get_rows(service, request_id)
        assert row["transform_status"] == "success"


def test_a_port_in_use_is_an_error():
    with LocalServiceX() as service:
        port = int(service.url.rpartition(":")[2])
        with pytest.raises(InvalidArgumentError, match=f"port {port} .* cannot be used"):
            LocalServiceX(port=port).start()
    with LocalServiceX(port=port) as service:
        assert service.url.endswith(f":{port}")


def test_two_servers_run_side_by_side(source):
    with LocalServiceX(name="a") as first, LocalServiceX(name="b", authentication=True) as second:
        assert first.url != second.url
        ids = [service.submit([source], tree="events") for service in (first, second)]
        assert (
            httpx.get(f"{first.url}{TRANSFORMATION}/{ids[0]}", trust_env=False).status_code == 200
        )
        assert (
            httpx.get(f"{first.url}{TRANSFORMATION}/{ids[1]}", trust_env=False).status_code == 404
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delay": -1.0}, "delay"),
        ({"lookup_time": float("nan")}, "lookup_time"),
        ({"token_lifetime": -1.0}, "token_lifetime"),
        ({"url_lifetime": float("inf")}, "url_lifetime"),
        ({"parallelism": 0}, "parallelism"),
        ({"port": 70_000}, "port"),
        ({"name": ""}, "name"),
    ],
)
def test_options_out_of_range_are_rejected(options, message):
    with pytest.raises(InvalidArgumentError, match=message):
        LocalServiceX(**options)


def test_impossible_submissions_are_rejected(source):
    with LocalServiceX() as service:
        cases: list[tuple[Any, dict[str, Any], str]] = [
            (None, {"tree": "t"}, "files must be a list"),
            ("a.root", {"tree": "t"}, "files must be a list"),
            (
                ["/nosuch.root", source, "/b.root"],
                {"tree": "t"},
                r"2 of .* do not exist.*nosuch\.root",
            ),
            ([source.parent], {"tree": "t"}, "1 of the input files do not exist"),
            ([source], {}, "exactly one of tree and selection"),
            ([source], {"tree": "t", "selection": "[]"}, "exactly one of tree and selection"),
            ([source], {"selection": [], "cut": "x"}, "need tree"),
            ([source], {"selection": "nonsense"}, "not valid JSON"),
            ([source], {"tree": "t", "result_format": "hdf5"}, "result-format"),
        ]
        for files, options, message in cases:
            with pytest.raises(InvalidArgumentError, match=message):
                service.submit(files, **options)


def test_paths_are_made_absolute_and_urls_are_not(monkeypatch, source):
    monkeypatch.chdir(source.parent)
    with LocalServiceX() as service:
        files = [source.name, Path(source.name), "file://nowhere/b.root"]
        request_id = service.submit(files, selection=[{"treename": "events"}], manual=True)
        service.release(request_id, 0, 1, 2)
        answer = httpx.get(
            f"{service.url}{TRANSFORMATION}/{request_id}/results", trust_env=False
        ).json()
    outcomes = {row["file-path"]: row["transform_status"] for row in answer["results"]}
    assert outcomes == {str(source): "success", "file://nowhere/b.root": "failure"}


@pytest.mark.parametrize("missing", ["starlette", "uvicorn", "jwt"])
def test_a_missing_extra_is_named(missing):
    code = f"""
import sys
sys.modules[{missing!r}] = None
import servicex_layer.cli
import servicex_layer.local
from servicex_layer.errors import MissingExtraError
try:
    from servicex_layer.local import LocalServiceX
except MissingExtraError as error:
    print(error)
"""
    process = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert 'pip install "servicex_layer[local]"' in process.stdout
    assert missing in process.stdout


def test_missing_extra_is_an_import_error():
    assert issubclass(MissingExtraError, ImportError)


# The program


@pytest.mark.skipif(sys.platform == "win32", reason="a signal ends any process of Windows")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_runs_until_a_signal(number, tmp_path):
    options = ["--directory", str(tmp_path), "--authentication", "--delay", "0.1"]
    program = [sys.executable, "-c", "from servicex_layer.cli import main; main()", "serve"]
    with subprocess.Popen(  # noqa: S603
        [*program, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        url, path = (running.stdout.readline().strip() for _ in range(2))
        assert read_endpoint(Path(path))["endpoint"] == url
        assert httpx.get(f"{url}/servicex", trust_env=False).status_code == 200
        running.send_signal(number)
        rest = running.communicate(timeout=10)
    assert rest == ("", "")
    assert running.returncode == 0
    assert not list(tmp_path.iterdir())


def test_serve_rejects_impossible_options():
    with LocalServiceX() as service:
        port = service.url.rpartition(":")[2]
        for options, message in [
            (["--port", port], "cannot be used"),
            (["--delay", "-1"], "delay must be at least 0"),
        ]:
            result = CliRunner().invoke(main, ["serve", *options])
            assert result.exit_code == 1
            assert message in result.output
