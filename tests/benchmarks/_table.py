"""Tables, in the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import click


def print_table(title: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table: the first column left-aligned, the others right-aligned."""
    cells = [[str(cell) for cell in row] for row in (head, *rows)]
    first_width, *widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    click.echo(f"\n{title}\n")
    for first, *others in cells:
        aligned = [cell.rjust(width) for cell, width in zip(others, widths, strict=True)]
        click.echo("  " + "  ".join([first.ljust(first_width), *aligned]))


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]], text_columns: int) -> str:
    """Return a Markdown table whose first columns are text and the others numbers."""
    ruler = ["---"] * text_columns + ["---:"] * (len(head) - text_columns)
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ruler, *rows))


def verdict(value: float, bound: float) -> str:
    """Return whether a value is within its bound. Only a wrong result fails a benchmark."""
    return "yes" if value <= bound else "NO"
