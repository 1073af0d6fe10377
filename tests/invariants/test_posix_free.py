"""The demo and the embedded server run without the names that Python has on POSIX only.

`tests/posix_free/sitecustomize.py` takes them away, in child processes too.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

HOOK = Path(__file__).parents[1] / "posix_free"


@pytest.fixture
def environment() -> Mapping[str, str]:
    """Return the environment of a process without the names; its output is that of Windows."""
    path = os.pathsep.join([str(HOOK), *sys.path])
    return {**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "cp1252"}


def run(script: str, environment: Mapping[str, str], directory: Path) -> str:
    """Run a script, which has two minutes, and return its output."""
    path = directory / "script.py"
    path.write_text(script, encoding="utf-8")
    finished = subprocess.run(  # noqa: S603  (a script of this file)
        [sys.executable, str(path)],
        cwd=directory,
        env=environment,
        capture_output=True,
        encoding="cp1252",
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


LACKS_NAMES = """
def lacks_names():
    import multiprocessing
    from servicex_layer.feed import _child
    from servicex_layer.local import _child_process
    from servicex_layer.cli import _serve
    assert not hasattr(_child.os, "fork") and not hasattr(_child_process.os, "getuid")
    assert not hasattr(_serve.signal, "pthread_sigmask")
    assert multiprocessing.get_start_method() == "spawn"
    return True
"""


@pytest.mark.dask_awkward
def test_the_demo_runs(environment: Mapping[str, str], tmp_path: Path):
    script = f"""{LACKS_NAMES}
if __name__ == "__main__":
    from pathlib import Path
    from servicex_layer.demo._run import run_on_muons
    run_on_muons(Path("demo.png"), files=3, events=500, delay=0.0)
    assert lacks_names()
"""
    assert "Checked: plain Uproot gives the same" in run(script, environment, tmp_path)
    assert (tmp_path / "demo.png").exists()


@pytest.mark.dask_awkward
def test_an_embedded_server_and_processes_of_dask_run(
    environment: Mapping[str, str], tmp_path: Path, inputs: list[Path]
):
    script = f"""{LACKS_NAMES}
if __name__ == "__main__":
    import dask
    import dask_awkward as dak
    from distributed import Client, LocalCluster
    from servicex_layer import from_servicex
    from servicex_layer.local import LocalServiceX

    with LocalServiceX() as service:
        path = str(service.servicex_yaml)
        dask.config.set({{"servicex-layer.config-path": path}})
        files = {[str(path) for path in inputs]!r}
        stored, on_volume = (
            dak.sum(
                from_servicex(
                    service.submit(files, tree="events", result_destination=destination)
                ).x
            )
            for destination in ("object-store", "volume")
        )
        print(stored.compute(scheduler="sync"), stored.compute(scheduler="processes"))
        with (
            LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
            Client(cluster) as client,
        ):
            print(*dask.compute(stored, on_volume))
            assert all(client.run(lacks_names).values())
        assert lacks_names()
"""
    assert run(script, environment, tmp_path).split() == ["6180.0"] * 4


@pytest.mark.skipif(sys.platform == "win32", reason="a signal ends any process of Windows")
def test_serve_runs_until_a_signal(environment: Mapping[str, str]):
    program = "from servicex_layer.cli import main; main(['serve'])"
    with subprocess.Popen(  # noqa: S603  (a script of this file)
        [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        assert server.stdout.readline().startswith("http://127.0.0.1:")
        yaml = Path(server.stdout.readline().strip())
        assert yaml.exists()
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0
    assert not yaml.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal to a group")
def test_ctrl_c_ends_the_demo_and_its_workers_without_a_word_of_theirs(
    environment: Mapping[str, str], tmp_path: Path
):
    script = """
if __name__ == "__main__":
    from pathlib import Path
    from servicex_layer.demo._run import run_on_muons
    try:
        run_on_muons(Path("demo.png"), files=50, events=100, delay=2.0)
    except KeyboardInterrupt:
        print("interrupted")
"""
    path = tmp_path / "script.py"
    path.write_text(script, encoding="utf-8")
    with subprocess.Popen(  # noqa: S603  (a script of this file)
        [sys.executable, str(path)],
        cwd=tmp_path,
        env={**environment, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as demo:
        assert demo.stdout is not None
        assert demo.stdout.readline().startswith("Generated")
        assert demo.stdout.readline().startswith("Submitted")
        if sys.platform != "win32":  # mypy doesn't know that the test is skipped there
            # to all processes of the group, as a terminal does
            os.killpg(demo.pid, signal.SIGINT)
        stdout, stderr = demo.communicate(timeout=60)
    assert (stdout, stderr) == ("interrupted\n", "")
