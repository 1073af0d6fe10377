"""Options and arguments that several commands have."""

from __future__ import annotations

import click

__all__ = ["backend_option", "json_option", "request_argument"]

request_argument = click.argument("request_id", metavar="REQUEST")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
backend_option = click.option(
    "--backend",
    metavar="NAME",
    help="Backend in servicex.yaml.",
    show_default="the default backend",
)
