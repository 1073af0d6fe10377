"""An S3 server in a process of its own: moto's, which keeps objects in memory.

So moto and its libraries can't affect this interpreter. The process ends when the one that started
it does.
"""

from __future__ import annotations

import importlib.util
import logging
import secrets
import subprocess
import sys
from dataclasses import dataclass
from typing import Self

from servicex_layer.errors import BackendUnreachableError, MissingExtraError
from servicex_layer.local._child_process import environment, without_ctrl_c
from servicex_layer.local._s3 import S3

_EXTRA = ("moto", "flask", "flask_cors")


@dataclass(frozen=True)
class S3Server:
    """An S3 server on this machine.

    Parameters
    ----------
    store
        The store that it serves. It accepts any keys.
    process
        The server's process.
    """

    store: S3
    process: subprocess.Popen[str]

    @classmethod
    def start(cls) -> Self:
        """Start a server.

        Raises
        ------
        MissingExtraError
            If the extra ``s3`` is not installed.
        BackendUnreachableError
            If the process ends before it serves.
        """
        for name in _EXTRA:
            if importlib.util.find_spec(name) is None:
                raise MissingExtraError(
                    f"the S3 store of the embedded ServiceX needs {name}, which is not installed: "
                    'pip install "servicex_layer[s3]"'
                )
        process = subprocess.Popen(  # noqa: S603 - this interpreter and this module
            [sys.executable, "-P", "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
            **without_ctrl_c(),  # it is for the ServiceX only
        )
        url = process.stdout.readline().strip() if process.stdout else ""
        server = cls(
            S3(url or "http://nowhere", secrets.token_hex(8), secrets.token_hex(16)), process
        )
        if not url:
            server.stop()
            raise BackendUnreachableError(
                "the S3 server of the embedded ServiceX does not start; see its output above"
            )
        return server

    def stop(self) -> None:
        """Stop the server. Its objects are lost."""
        self.process.kill()
        self.process.communicate()


def _main() -> None:
    # here, so that only this process imports moto
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    sys.stdout.write(f"http://{host}:{port}\n")
    sys.stdout.flush()
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    _main()
