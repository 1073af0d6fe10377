"""A server of static files: nginx, or uvicorn if nginx is not installed."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import tenacity
from _spawn import SPAWN  # type: ignore[import-not-found]

HOST = "127.0.0.1"


@contextmanager
def file_server(directory: Path) -> Iterator[tuple[str, int]]:
    """Serve a directory over HTTP; yields the server's name with its version, and the port."""
    nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if nginx is None:
        click.echo("nginx is not installed: uvicorn serves the files instead.")
    port = _free_port()
    with _nginx(nginx, directory, port) if nginx else _uvicorn(directory, port) as name:
        _wait_until_listening(port)
        yield name, port


@contextmanager
def _nginx(nginx: str, directory: Path, port: int) -> Iterator[str]:
    with TemporaryDirectory(prefix="servicex-layer-nginx-") as own:
        paths = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        config = Path(own) / "nginx.conf"
        # One process is enough, and without a master none changes its user.
        config.write_text(f"""
            daemon off;
            master_process off;
            pid {own}/pid;
            events {{ }}
            http {{
                access_log off;
                sendfile on;
                keepalive_requests 1000000;
                default_type application/octet-stream;
                {" ".join(f"{path}_temp_path {own}/{path};" for path in paths)}
                server {{
                    listen {HOST}:{port};
                    root {directory};
                }}
            }}
            """)
        version = subprocess.run([nginx, "-v"], check=True, capture_output=True, text=True)  # noqa: S603
        command = [nginx, "-p", own, "-c", str(config), "-e", "stderr"]
        with subprocess.Popen(command) as process:  # noqa: S603
            try:
                yield version.stderr.strip().rpartition(" ")[2].replace("/", " ")
            finally:
                process.terminate()


@contextmanager
def _uvicorn(directory: Path, port: int) -> Iterator[str]:
    process = SPAWN.Process(target=_run_uvicorn, args=(directory, port))
    process.start()
    try:
        yield f"uvicorn {importlib.metadata.version('uvicorn')}"
    finally:
        process.terminate()
        process.join()


def _run_uvicorn(directory: Path, port: int) -> None:
    import uvicorn
    from starlette.staticfiles import StaticFiles

    uvicorn.run(StaticFiles(directory=directory), host=HOST, port=port, log_level="error")


def _free_port() -> int:
    with closing(socket.create_server((HOST, 0))) as listener:
        port: int = listener.getsockname()[1]
    return port


@tenacity.retry(
    retry=tenacity.retry_if_exception_type(ConnectionRefusedError),
    wait=tenacity.wait_fixed(0.05),
    stop=tenacity.stop_after_delay(30),
    reraise=True,
)
def _wait_until_listening(port: int) -> None:
    socket.create_connection((HOST, port)).close()
