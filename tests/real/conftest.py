"""MinIO's server, which the nox session `real` installs."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
import trustme
from distributed import LocalCluster

from servicex_layer.local import S3
from servicex_layer.net._retry import tls_context


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """Make a private certificate authority, unknown to this machine."""
    return trustme.CA()


@pytest.fixture(scope="session", autouse=True)
def authority_file(
    authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """Trust the authority in this process and in those that it starts."""
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(path))
        tls_context.cache_clear()
        yield path
    tls_context.cache_clear()


@pytest.fixture(scope="session")
def minio_http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with _minio(tmp_path_factory.mktemp("minio-http")) as store:
        yield store


@pytest.fixture(scope="session")
def minio_tls(tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA) -> Iterator[S3]:
    with _minio(tmp_path_factory.mktemp("minio-tls"), authority) as store:
        yield store


@pytest.fixture(scope="session")
def cluster(authority_file: Path) -> Iterator[LocalCluster]:
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster:
        yield cluster


@contextmanager
def _minio(directory: Path, authority: trustme.CA | None = None) -> Iterator[S3]:
    binary = os.environ.get("SERVICEX_LAYER_MINIO")
    if not binary:
        pytest.fail("$SERVICEX_LAYER_MINIO names no MinIO server: run these with `nox -s real`")
    certificates = directory / "certificates"
    certificates.mkdir()
    if authority is not None:
        issued = authority.issue_cert("127.0.0.1")
        issued.private_key_pem.write_to_path(str(certificates / "private.key"))
        issued.cert_chain_pems[0].write_to_path(str(certificates / "public.crt"))
    host = f"127.0.0.1:{_free_port()}"
    url = f"{'http' if authority is None else 'https'}://{host}"
    store = S3(url, secrets.token_hex(8), secrets.token_hex(16))
    with ExitStack() as stack:
        log = stack.enter_context((directory / "log.txt").open("w+"))
        server = subprocess.Popen(  # noqa: S603  (what nox has installed)
            [
                *(binary, "server", "--quiet", "--address", host),
                *("--certs-dir", str(certificates), str(directory / "objects")),
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
            env={
                "HOME": str(directory),
                "MINIO_BROWSER": "off",
                "MINIO_ROOT_USER": store.access_key,
                "MINIO_ROOT_PASSWORD": store.secret_key,
            },
        )
        stack.callback(server.wait)
        stack.callback(server.kill)
        end = time.monotonic() + 60
        while not _is_up(url):
            assert server.poll() is None, (directory / "log.txt").read_text()
            assert time.monotonic() < end, (directory / "log.txt").read_text()
            time.sleep(0.05)
        yield store


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/minio/health/live", verify=tls_context()).is_success
    except httpx.TransportError:
        return False
