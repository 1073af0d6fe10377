"""The program ``servicex-layer``."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import click

from servicex_layer.errors import ServiceXLayerError


@click.group()
@click.version_option(package_name="servicex_layer")
def main() -> None:
    """Lazy arrays over what ServiceX delivers."""


@main.command()
@click.option("--port", type=int, default=0, show_default="a free one", help="Port to listen on.")
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    show_default="a temporary one",
    help="Where servicex.yaml and the results go while it runs.",
)
@click.option(
    "--parallelism", type=int, default=2, show_default=True, help="Files transformed at a time."
)
@click.option(
    "--delay", type=float, default=0.0, show_default=True, help="Least seconds for each file."
)
@click.option(
    "--lookup-time", type=float, default=0.0, show_default=True, help="Seconds of each lookup."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Decides what is random.")
@click.option("--authentication", is_flag=True, help="Ask for a token.")
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

    Prints its URL and the path of the servicex.yaml for its users.
    """
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    try:
        # the program works without the extra `local`, this command does not
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
            stopped.wait()
    except ServiceXLayerError as error:
        raise click.ClickException(str(error)) from error
