from __future__ import annotations

import importlib.util
import subprocess
import sys

import psutil  # type: ignore[import-untyped]
import pytest

from servicex_layer.errors import MissingExtraError
from servicex_layer.local import LocalServiceX

STARTED = """
import sys
from servicex_layer.local._s3_server import S3Server

print(S3Server.start().process.pid, flush=True)
sys.stdin.read()
"""


def test_the_s3_server_ends_with_the_process_that_started_it(until):
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", STARTED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout
        server = psutil.Process(int(owner.stdout.readline()))
        owner.kill()
    until(lambda: not server.is_running())


def test_the_s3_server_ends_with_the_service():
    children = {child.pid for child in psutil.Process().children()}
    with LocalServiceX(store="s3"):
        assert {child.pid for child in psutil.Process().children()} - children
    assert {child.pid for child in psutil.Process().children()} <= children


@pytest.mark.parametrize("name", ["moto", "flask", "flask_cors"])
def test_a_missing_extra_is_named(monkeypatch, name):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda module: None if module == name else find(module)
    )
    with (
        pytest.raises(MissingExtraError, match=rf"needs {name}, .*servicex_layer\[s3\]"),
        LocalServiceX(store="s3"),
    ):
        pass
