"""The command ``serve``."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import click

from servicex_layer.cli._errors import errors_without_traceback

__all__ = ["serve"]


@click.command()
@click.option("--port", type=int, default=0, show_default="a free port", help="Port to listen on.")
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    show_default="a temporary directory",
    help="Directory for servicex.yaml and the results.",
)
@click.option(
    "--parallelism", type=int, default=2, show_default=True, help="Files transformed at a time."
)
@click.option(
    "--delay", type=float, default=0.0, show_default=True, help="Minimum seconds per file."
)
@click.option(
    "--lookup-time", type=float, default=0.0, show_default=True, help="Seconds per dataset lookup."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of random numbers.")
@click.option("--authentication", is_flag=True, help="Require a token.")
def serve(
    *,
    port: int,
    directory: Path | None,
    parallelism: int,
    delay: float,
    lookup_time: float,
    seed: int,
    authentication: bool,
) -> None:
    """Run an embedded ServiceX until Ctrl-C or SIGTERM.

    Prints its URL and the path of a servicex.yaml that names it.
    """
    stopped = threading.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, lambda *_: stopped.set())
    with errors_without_traceback():
        # needs the extra `local`, unlike the other commands
        from servicex_layer.local import LocalServiceX

        with LocalServiceX(
            directory,
            port=port,
            parallelism=parallelism,
            delay=delay,
            lookup_time=lookup_time,
            seed=seed,
            authentication=authentication,
        ) as service:
            click.echo(service.url)
            click.echo(service.servicex_yaml)
            # On Windows, Ctrl-C interrupts no wait without a timeout.
            while not stopped.wait(timeout=0.5):
                pass
